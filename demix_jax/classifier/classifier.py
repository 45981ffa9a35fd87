"""The error classifier as it is used and stored: a calibrated ensemble of error networks."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from demix_jax.classifier.calibration import Calibration, check_shapes, identity_calibration
from demix_jax.classifier.decision import thresholds
from demix_jax.classifier.inputs import NUM_TABLE_FACTS, Probes, signal_inputs
from demix_jax.classifier.model import Context, ContextInputs, ErrorNetwork, NetworkConfig
from demix_jax.classifier.schema import CHANNELS, SIGNALS
from demix_jax.classifier.table_level import TableLevel
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES, FEATURE_ERROR, LABEL_ERROR, PROBED_TYPES
from demix_jax.common.row_batches import map_parts

PyTree = Any

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "default.safetensors"
_CONTEXT_ROWS = 512  # rows that represent the whole table; more cost time and did not occur in training
_NUM_ELEMENTS = 48  # validation samples that are read of each vector: with 128, log losses differ by less than 0.0005
_CONTEXT_PROBES = 128  # of each probed type
_BLOCK = 512
_ROWS_IN_CACHE = 128
_OWN_ARRAYS = ("signal_mean", "signal_scale")
_OF_CALIBRATION = "calibration/"  # before the names of its arrays in a file
_FORMAT, _VERSION = "demix_jax error classifier", 6


@dataclasses.dataclass(frozen=True)
class ErrorClassifier:
    """Classifies the error types of rows from their influence vectors and signals.

    Attributes:
      config: sizes of the networks.
      params: parameters of G networks, stacked along a leading axis.
      signal_mean, signal_scale: f32[F], standardisation of the signals.
      calibration: maps the logits of the G networks to probabilities.
      card: what the classifier was trained on, and how.
      name: "default" or the name of its file.
    """

    config: NetworkConfig
    params: PyTree
    signal_mean: np.ndarray
    signal_scale: np.ndarray
    calibration: Calibration
    card: dict
    name: str = "default"

    @classmethod
    def uncalibrated(
        cls, config: NetworkConfig, params: PyTree, mean: np.ndarray, scale: np.ndarray, card: dict
    ) -> ErrorClassifier:
        """A classifier whose logits are taken as log-odds; arguments as the attributes."""
        return cls(
            config=config,
            params=params,
            signal_mean=mean,
            signal_scale=scale,
            calibration=identity_calibration(),
            card=card,
        )

    def of_table(self, signals: np.ndarray, facts: np.ndarray, probes: Probes | None = None) -> TableClassifier:
        """The classifier for the rows of one table.

        Args:
          signals: f32[R, F], of all rows of the table or of a sample.
          facts: f32[T], see `table_facts`. probes: of the same table.
        """
        chex.assert_shape(signals, (None, len(self.signal_mean)))
        chex.assert_shape(facts, (NUM_TABLE_FACTS,))
        among = np.sort(signals, axis=0)
        sample = np.random.default_rng(0).permutation(len(signals))[:_CONTEXT_ROWS]
        inputs = signal_inputs(signals[sample], self.signal_mean, self.signal_scale, among)
        if probes is None:
            of_probes = dict.fromkeys(PROBED_TYPES, np.zeros((1, inputs.shape[1]), np.float32))
        else:
            of_probes = {
                known: signal_inputs(
                    probes.signals[np.resize(probes.rows_of(known), _CONTEXT_PROBES)],
                    self.signal_mean,
                    self.signal_scale,
                    among,
                )
                for known in PROBED_TYPES
            }
        context = ContextInputs(
            rows=inputs,
            label_probes=of_probes[LABEL_ERROR],
            feature_probes=of_probes[FEATURE_ERROR],
            has_probes=np.float32(probes is not None),
            facts=facts,
        )
        return TableClassifier(self, among, facts, _context(self.config, self.params, context))

    def logits(
        self,
        vectors: np.ndarray,
        signals: np.ndarray,
        facts: np.ndarray,
        probes: Probes | None = None,
        *,
        on_block: Callable[[int], None] = lambda rows: None,
    ) -> np.ndarray:
        """Uncalibrated logits f32[G, N, 3] of all rows of one table.

        Args:
          vectors: f16[N, S, C], any S ≥ 1. signals: f32[N, F]. facts: f32[T], see `table_facts`.
          probes: of the same table. on_block: called with the number of rows that are done.
        """
        return self.of_table(signals, facts, probes).logits(vectors, signals, on_block=on_block)

    def predict(
        self,
        vectors: np.ndarray,
        signals: np.ndarray,
        facts: np.ndarray,
        probes: Probes | None = None,
        *,
        on_block: Callable[[int], None] = lambda rows: None,
    ) -> np.ndarray:
        """Calibrated probabilities f32[N, 3] in the order of ERROR_TYPES; arguments as for `logits`."""
        return self.judge(vectors, signals, facts, probes, on_block=on_block).probability

    def judge(
        self,
        vectors: np.ndarray,
        signals: np.ndarray,
        facts: np.ndarray,
        probes: Probes | None = None,
        mistaken: np.ndarray | None = None,
        *,
        on_block: Callable[[int], None] = lambda rows: None,
    ) -> Verdict:
        """Probabilities and thresholds for all rows of one table; other arguments as for `logits`.

        Args:
          mistaken: f32[N], probability of a feature error from evidence that the networks do not see; None: unknown.
        Returns:
          Verdict, which also judges further rows of the table.
        """
        table = self.of_table(signals, facts, probes)
        logits, levels = table.read(vectors, signals, probes, on_block=on_block)
        probability = with_mistaken(self.calibration.probability(logits, signals, levels), mistaken)
        return Verdict(probability, thresholds(probability), table, levels)

    @property
    def num_networks(self) -> int:
        """G, the size of the ensemble."""
        return len(jax.tree.leaves(self.params)[0])

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file; an interrupted call leaves no partial file."""
        from safetensors.numpy import save

        from demix_jax.common.files import atomic_paths

        with atomic_paths(path) as (temporary,):
            temporary.write_bytes(save(self._arrays(), metadata=self._metadata()))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _arrays(self) -> dict[str, np.ndarray]:
        leaves = jax.tree_util.tree_flatten_with_path(self.params)[0]
        arrays = {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}
        own = {name: getattr(self, name) for name in _OWN_ARRAYS}
        own |= {f"{_OF_CALIBRATION}{name}": array for name, array in self.calibration._asdict().items()}
        return arrays | {name: np.asarray(array, np.float32) for name, array in own.items()}

    def _metadata(self) -> dict[str, str]:
        return {
            "format": f"{_FORMAT} {_VERSION}",
            "config": json.dumps(dataclasses.asdict(self.config)),
            "signals": json.dumps(SIGNALS),
            "channels": json.dumps(CHANNELS),
            "card": json.dumps(self.card),
        }


@dataclasses.dataclass(frozen=True)
class TableClassifier:
    """A classifier with the context of one table, for any number of its rows at a time.

    classifier: the classifier. among: f32[R, F], signals of the table's rows, each column in ascending order.
    facts: f32[T], see `table_facts`. context: summary of the table by each network.
    """

    classifier: ErrorClassifier
    among: np.ndarray
    facts: np.ndarray
    context: Context

    def logits(
        self, vectors: np.ndarray, signals: np.ndarray, *, on_block: Callable[[int], None] = lambda rows: None
    ) -> np.ndarray:
        """Uncalibrated logits f32[G, n, 3] of n rows with vectors f16[n, S, C] and signals f32[n, F]."""
        known = self.classifier
        chex.assert_shape(vectors, (len(signals), None, len(CHANNELS)))
        inputs = signal_inputs(signals, known.signal_mean, known.signal_scale, self.among)
        vectors = vectors[:, :_NUM_ELEMENTS]
        num_rows = len(inputs)
        result = np.empty((known.num_networks, num_rows, len(ERROR_TYPES)), np.float32)
        size = min(_BLOCK, -(-num_rows // _ROWS_IN_CACHE) * _ROWS_IN_CACHE)
        for start in range(0, num_rows, size):
            rows = np.arange(start, min(start + size, num_rows))
            padded = np.resize(rows, size)
            block = _classify(known.config, known.params, vectors[padded], inputs[padded], self.context)
            result[:, rows] = np.asarray(block)[:, : len(rows)]
            on_block(len(rows))
        return result

    def read(
        self,
        vectors: np.ndarray,
        signals: np.ndarray,
        probes: Probes | None,
        *,
        on_block: Callable[[int], None] = lambda rows: None,
    ) -> tuple[np.ndarray, list[TableLevel]]:
        """Logits of the table's rows, and from them a summary of the table by each network; arguments as for `logits`.

        probes: of the same table; None without probes.
        """
        logits = self.logits(vectors, signals, on_block=on_block)
        if probes is None:
            return logits, [TableLevel.of(of_rows, signals, self.facts) for of_rows in logits]
        of_probes = self.logits(probes.vectors, probes.signals)
        each = zip(logits, of_probes, strict=True)
        return logits, [TableLevel.of(of_rows, signals, self.facts, (known, probes.truth)) for of_rows, known in each]


class Verdict(NamedTuple):
    """Judgement of N rows of a table, all or a sample, from which further rows can be judged.

    probability: f32[N, 3] in the order of ERROR_TYPES. threshold: f64[3], rows with at least this one are flagged.
    table: the classifier with the context of the table. levels: summary of the table by each network.
    """

    probability: np.ndarray
    threshold: np.ndarray
    table: TableClassifier
    levels: list[TableLevel]

    def of_more(self, vectors: np.ndarray, signals: np.ndarray, mistaken: np.ndarray | None = None) -> np.ndarray:
        """Probabilities f32[n, 3] of n further rows with vectors f16[n, S, C] and signals f32[n, F]; see `judge`."""
        logits = self.table.logits(vectors, signals)
        calibration = self.table.classifier.calibration
        return with_mistaken(calibration.probability(logits, signals, self.levels), mistaken)


def with_mistaken(probability: np.ndarray, mistaken: np.ndarray | None) -> np.ndarray:
    """Adds independent evidence of feature errors to the probabilities of the networks.

    Args:
      probability: f32[n, 3]. mistaken: f32[n], probability of a feature error that the networks do not see, or None.
    Returns:
      f32[n, 3].
    """
    if mistaken is None:
        return probability
    result = probability.copy()
    of_feature_error = result[:, FEATURE_ERROR.column]
    of_feature_error[:] = 1 - (1 - of_feature_error) * (1 - mistaken)
    return result


def load_classifier(path: str | os.PathLike = "default") -> ErrorClassifier:
    """Reads an error classifier.

    Args:
      path: a file written by `ErrorClassifier.save`, or "default" for the one in the package.
    Raises:
      InputError: there is no such file, it is no error classifier, or it was trained for other signals or channels.
    """
    from safetensors import SafetensorError, safe_open

    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f'The classifier is a {type(path).__name__}; give "default" or the path of a file.')
    name = "default" if str(path) == "default" else Path(path).name
    path = DEFAULT_WEIGHTS if name == "default" else Path(path)
    if not path.is_file():
        raise InputError(f"There is no classifier file {path}; give a file that `demix-jax train-classifier` wrote.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}); give a file that `demix-jax train-classifier` wrote."
        ) from error
    if not str(metadata.get("format")).startswith(_FORMAT):
        raise InputError(
            f"{path} holds other weights, not an error classifier; give a file that `demix-jax train-classifier` wrote."
        )
    read = [metadata[key] for key in ("format", "signals", "channels")]
    if read != [f"{_FORMAT} {_VERSION}", json.dumps(SIGNALS), json.dumps(CHANNELS)]:
        raise InputError(f"{path} was trained by another version of demix_jax, for other inputs; train it again.")
    own = {key: arrays.pop(key) for key in _OWN_ARRAYS}
    calibration = Calibration(*(arrays.pop(f"{_OF_CALIBRATION}{key}") for key in Calibration._fields))
    check_shapes(calibration)
    params: dict = {}
    for key, array in arrays.items():
        *parents, leaf = key.split("/")
        functools.reduce(lambda node, part: node.setdefault(part, {}), parents, params)[leaf] = array
    config = NetworkConfig(**json.loads(metadata["config"]))
    card = json.loads(metadata["card"])
    return ErrorClassifier(config=config, params=params, **own, calibration=calibration, card=card, name=name)


@functools.partial(jax.jit, static_argnums=0)
def _context(config, params, inputs: ContextInputs) -> Any:
    """Context of a table by each of G networks; leaves have a leading axis G."""
    network = ErrorNetwork(config)
    return jax.vmap(lambda member: network.apply(member, inputs, method=ErrorNetwork.context))(params)


@functools.partial(jax.jit, static_argnums=0)
def _classify(config, params, vectors, signals, context) -> jax.Array:
    """Logits f32[G, n, 3] by G networks."""
    network = ErrorNetwork(config)

    def member(params, context, vectors, signals) -> Any:
        mask = np.ones(vectors.shape[:2], bool)
        states = network.apply(params, vectors.astype(np.float32), mask, signals, method=ErrorNetwork.row_states)
        return network.apply(params, states, context, method=ErrorNetwork.classify)[1]

    def rows(both):
        return jax.vmap(member, in_axes=(0, 0, None, None), out_axes=1)(params, context, *both)

    return map_parts(rows, (vectors, signals), _ROWS_IN_CACHE).swapaxes(0, 1)
