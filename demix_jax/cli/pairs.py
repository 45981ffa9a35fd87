"""`demix-jax pairs`: preference pairs are diagnosed, repaired, and corrupted with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from demix_jax.cli.arguments import Also, Classifier, DiagnosisFile, DiagnosisFolder, Seed, Spurious
from demix_jax.cli.checks import check_classifier, check_diagnosis_folder, check_outputs, diagnosis_file
from demix_jax.cli.compiling import check_platform
from demix_jax.cli.groups import command_group
from demix_jax.cli.injecting import say_injected
from demix_jax.common.checks import InputError
from demix_jax.common.files import PAIR_SUFFIXES, atomic_paths, check_suffix, check_writable, write_table

PairsFile = Annotated[
    Path,
    typer.Argument(
        help="Preference pairs: a .jsonl, .json or .parquet file, or the folder of a dataset.",
        metavar="PAIRS",
        show_default=False,
    ),
]

pair_commands = command_group("pairs", about="Find and repair errors in preference pairs.")


@pair_commands.command()
def diagnose(
    pairs: PairsFile,
    *,
    model: Annotated[Path, typer.Option(help="Decoder of the Llama architecture: a folder, or a .gguf file.")],
    out: DiagnosisFolder,
    valid: Annotated[Path | None, typer.Option(help="Trusted pairs. Without them, PAIRS is cross-fitted.")] = None,
    classifier: Classifier = "default",
    seed: Seed = 0,
) -> None:
    """Find the errors in preference pairs.

    Each pair is judged: whether its answers are swapped, whether its texts are damaged, and whether it breaks a
    shortcut. The folder --out receives diagnosis.csv, summary.json and report.html.
    """
    check_diagnosis_folder(out, inputs={"PAIRS": pairs, "--valid": valid})
    _check_outside(out, pairs)
    check_platform()
    check_classifier(classifier)

    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.domains.preference import diagnose as diagnose_pairs
    from demix_jax.report.terminal import print_diagnosis

    with ProgressDisplay() as progress:
        diagnosis = diagnose_pairs(pairs, model=model, valid=valid, classifier=classifier, seed=seed, progress=progress)
        diagnosis.save(out)
    print_diagnosis(diagnosis, out)


@pair_commands.command()
def repair(
    pairs: PairsFile,
    *,
    diagnosis: DiagnosisFile,
    out: Annotated[Path, typer.Option(help="File to write, .jsonl.", show_default=False)],
    label_errors: Annotated[
        Literal["swap", "drop", "keep"], typer.Option(help="What happens to pairs whose answers are swapped.")
    ] = "swap",
    feature_errors: Annotated[
        Literal["drop", "trim", "keep"], typer.Option(help="What happens to pairs with damaged texts.")
    ] = "drop",
    spurious: Spurious = "reweight",
    also: Also = None,
) -> None:
    """Write a repaired copy of preference pairs.

    Those pairs are repaired that are likely wrong or likely break a shortcut: their flag is 1, and their band is not
    "look". The copy has one pair per line, in the schema of PAIRS and with a sample_weight. PAIRS stays as it is.
    """
    check_suffix(out, PAIR_SUFFIXES)
    check_outputs(out, inputs={"PAIRS": pairs, "the diagnosis": diagnosis_file(diagnosis)})
    _check_outside(out, pairs)

    from demix_jax.domains.preference import repair as repair_pairs
    from demix_jax.report.terminal import say

    repaired = repair_pairs(
        pairs, diagnosis, label_errors=label_errors, feature_errors=feature_errors, spurious=spurious, also=also
    )
    repaired.save(out)
    say(*repaired.sentences, f"Written: {out}")


@pair_commands.command()
def inject(
    pairs: PairsFile,
    *,
    out: Annotated[Path, typer.Option(help="Folder for corrupted.jsonl and truth.csv.", show_default=False)],
    label_errors: Annotated[float, typer.Option(help="Share of pairs whose answers are swapped.")] = 0.15,
    feature_errors: Annotated[float, typer.Option(help="Share of pairs whose texts are damaged.")] = 0.15,
    spurious: Annotated[float, typer.Option(help="Share of pairs that break the shortcut; 0 for no shortcut.")] = 0.15,
    shortcut: Annotated[
        Literal["longer", "refusal", "markup", "lists"], typer.Option(help="What the preferred answer has more of.")
    ] = "longer",
    seed: Seed = 0,
) -> None:
    """Write a copy of preference pairs with known errors.

    The errors of each pair are recorded in truth.csv. PAIRS stays as it is.
    """
    check_writable(out, folder=True)
    corrupted, truth = out / f"corrupted{PAIR_SUFFIXES[0]}", out / "truth.csv"
    check_outputs(corrupted, truth, inputs={"PAIRS": pairs})
    _check_outside(out, pairs)

    from demix_jax.domains.preference import inject_errors, read_pairs
    from demix_jax.domains.preference.pairs import as_lines

    clean = read_pairs(pairs)
    injected = inject_errors(
        clean,
        label_errors=label_errors,
        feature_errors=feature_errors,
        spurious=spurious,
        shortcut=shortcut,
        seed=seed,
    )
    with atomic_paths(corrupted, truth) as (first, second):
        first.write_text(as_lines(injected.pairs.records), encoding="utf-8", newline="")
        write_table(second, injected.truth)
    kept = f"{len(injected.pairs):,} of {len(clean):,} pairs kept."
    say_injected(kept, injected.truth, corrupted, truth, noun="pairs", shortcut=shortcut if spurious else None)


def _check_outside(out: Path, pairs: Path) -> None:
    """InputError where the pairs are a folder and `out` would lie in it."""
    if pairs.is_dir() and out.resolve().is_relative_to(pairs.resolve()):
        raise InputError(f"{out} would lie in PAIRS, which is never written to; choose another --out.")
