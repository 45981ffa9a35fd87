"""What a stored influence matrix is computed from, in a form that a later run can compare."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    pass

import logging
import re
from pathlib import Path
from typing import NamedTuple

import jax
from jax.extend import core

from demix_jax.common.checks import InputError
from demix_jax.gradients.per_example import Loss, PyTree, checked_plan
from demix_jax.gradients.stream import as_arrays

logger = logging.getLogger("demix_jax")

# Where Python shows an object's place in memory, which differs from run to run.
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+|\bid=\d+")


class Provenance(NamedTuple):
    """fingerprints: of the loss and the arrays, by argument. options: what else decides over the bits, as text.

    versions: of what may round otherwise.
    """

    fingerprints: dict[str, str]
    options: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def of(cls, loss: Loss, params: PyTree, train: PyTree, valid: PyTree, **options: Any) -> Provenance:
        """The loss is known by the operations that it traces to, and its constants; the options as Python shows them.

        Raises:
          InputError: as `influence_matrix` for the loss and the arrays.
        """
        params, train, valid = (as_arrays(tree) for tree in (params, train, valid))
        plans = [checked_plan(loss, params, **{name: batch}) for name, batch in (("train", train), ("valid", valid))]
        fingerprints = {
            "loss": hashlib.sha256("".join(_traced(plan.closed) for plan in plans).encode()).hexdigest(),
            "params": array_fingerprint(params),
            "train": array_fingerprint(train),
            "valid": array_fingerprint(valid),
        }
        device = jax.local_devices()[0]
        versions = {"jax": jax.__version__, "device": f"{device.platform}, {device.device_kind}"}
        return cls(fingerprints, {name: _ADDRESS.sub("", repr(value)) for name, value in options.items()}, versions)

    def check_same(self, begun: Provenance, path: Path) -> None:
        """InputError, naming what differs, unless the matrix in `path`, `begun` earlier, is computed from the same."""
        differing = [name for name, value in self.fingerprints.items() if begun.fingerprints.get(name) != value]
        differing += [
            f"{name} (there {begun.options.get(name)}, now {value})"
            for name, value in self.options.items()
            if begun.options.get(name) != value
        ]
        if differing:
            raise InputError(
                f"{path} holds influence computed with other {', '.join(differing)}; pass what it was begun with, or "
                "write to another path."
            )
        changed = [f"{name} {was}" for name, was in begun.versions.items() if self.versions.get(name) != was]
        if changed:
            logger.warning("%s was begun with %s; the last bits of what is added may differ.", path, ", ".join(changed))


def _traced(closed: core.ClosedJaxpr) -> str:
    """The operations as text, and a fingerprint of each constant, those of loops and branches included."""
    constants = [array_fingerprint(np.asarray(value)) for value in _constants(closed)]
    return " ".join([_ADDRESS.sub("", str(closed.jaxpr)), *constants])


def _constants(closed: core.ClosedJaxpr) -> list[Any]:
    found = list(closed.consts)
    for eqn in closed.jaxpr.eqns:
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, core.ClosedJaxpr)):
            if isinstance(inner, core.ClosedJaxpr):
                found += _constants(inner)
    return found


_BYTES_AT_A_TIME = 2**22


def array_fingerprint(tree: Any) -> str:
    """SHA-256 over the structure of a pytree and its arrays' dtypes, shapes and bits.

    Read a few megabytes at a time, so that arrays mapped from files need not fit in memory.

    Args:
      tree: pytree of arrays.
    Returns:
      64 hexadecimal digits.
    """
    import jax

    leaves, structure = jax.tree.flatten(tree)
    digest = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        digest.update(f"\0{np.dtype(leaf.dtype)}{leaf.shape}\0".encode())
        rows = max(1, _BYTES_AT_A_TIME // max(1, leaf.nbytes // max(1, len(leaf)))) if leaf.ndim else 1
        parts = (leaf[start : start + rows] for start in range(0, len(leaf), rows)) if leaf.ndim else [leaf]
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
