"""What every command checks before it starts to work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from demix_jax.common.checks import InputError
from demix_jax.common.files import DIAGNOSIS_FILES, check_writable, same_file


def check_outputs(*files: Path, inputs: Mapping[str, Path | None]) -> None:
    """InputError where a file cannot be written, or is one of the inputs, which are named as on the command line."""
    for file in files:
        check_writable(file, folder=False)
        for name, path in inputs.items():
            if path is not None and same_file(file, path):
                raise InputError(f"{file} is {name}, which is never overwritten; choose another --out.")


def check_diagnosis_folder(out: Path, *others: str, inputs: Mapping[str, Path | None]) -> None:
    """`check_outputs` for the files that a diagnosis writes to the folder `out`, and others beside them."""
    check_writable(out, folder=True)
    check_outputs(*(out / name for name in (*DIAGNOSIS_FILES, *others)), inputs=inputs)


def diagnosis_file(given: Path) -> Path:
    """The diagnosis.csv that --diagnosis names: the file itself, or the one in its folder."""
    return given / DIAGNOSIS_FILES[0] if given.is_dir() else given


def check_classifier(weights: str) -> None:
    """InputError unless the error classifier can be loaded; better now than after minutes of work."""
    from demix_jax.classifier import load_classifier

    load_classifier(weights)
