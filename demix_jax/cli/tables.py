"""`demix-jax repair`, `inject` and `demo`: tables or preference pairs in, others out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from demix_jax.cli.arguments import Label, Seed, Train, check_given
from demix_jax.cli.compiling import check_platform
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import (
    DIAGNOSIS_FILES,
    PAIR_SUFFIXES,
    TABLE_SUFFIXES,
    atomic_paths,
    check_suffix,
    check_writable,
    same_file,
    suffix_to_write,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

Task = Annotated[
    Literal["auto", "preference"],
    typer.Option(help="auto: a table, which needs --label. preference: pairs of answers to prompts."),
]


def repair(
    train: Train,
    diagnosis: Annotated[Path, typer.Option(help="diagnosis.csv that `diagnose` wrote.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="File to write, .csv or .parquet; .jsonl for preference.", show_default=False)
    ],
    label: Label = None,
    task: Task = "auto",
    label_errors: Annotated[
        Literal["relabel", "swap", "drop", "keep"] | None,
        typer.Option(help="Rows with a wrong label: relabel by default; for preference swap the answers."),
    ] = None,
    feature_errors: Annotated[
        Literal["impute", "trim", "drop", "keep"] | None,
        typer.Option(help="Rows with wrong features: impute by default; for preference drop the pair, or trim it."),
    ] = None,
    spurious: Annotated[
        Literal["reweight", "keep"], typer.Option(help="Rows that break a shortcut; they are never dropped.")
    ] = "reweight",
    seed: Seed = 0,
) -> None:
    """Write a repaired copy of TRAIN with a sample_weight column; TRAIN stays as it is.

    With --task preference the copy has one pair a line, in the schema that TRAIN has.
    """
    pairs = _takes_pairs(task, label)
    check_suffix(out, PAIR_SUFFIXES if pairs else TABLE_SUFFIXES)
    check_writable(out, folder=False)
    flags = diagnosis / DIAGNOSIS_FILES[0] if diagnosis.is_dir() else diagnosis
    for name, path in (("TRAIN", train), ("the diagnosis", flags)):
        if same_file(out, path):
            raise InputError(f"--out {out} is {name}, which is never overwritten; name another file.")
    if pairs:
        _check_outside(out, train)

    from demix_jax.report.terminal import say

    usual = ("swap", "drop") if pairs else ("relabel", "impute")
    options: dict[str, Any] = {
        "label_errors": label_errors or usual[0],
        "feature_errors": feature_errors or usual[1],
        "spurious": spurious,
    }
    if pairs:
        from demix_jax.domains.preference import repair as repair_pairs

        repaired_pairs = repair_pairs(train, diagnosis, **options)
        repaired_pairs.save(out)
        said = repaired_pairs.sentences
    else:
        from demix_jax.repairs import repair as repair_table

        check_platform()
        repaired = repair_table(train, diagnosis, label=cast(str, label), seed=seed, **options)
        write_table(out, repaired.table)
        said = repaired.changes.sentences
    say(*said, f"Written: {out}")


def inject(
    train: Train,
    out: Annotated[
        Path, typer.Option(help="Folder for the corrupted table or pairs and truth.csv.", show_default=False)
    ],
    label: Label = None,
    task: Task = "auto",
    label_errors: Annotated[float, typer.Option(help="Share of rows that get a wrong label.")] = 0.15,
    feature_errors: Annotated[float, typer.Option(help="Share of rows that get wrong features.")] = 0.15,
    spurious: Annotated[float, typer.Option(help="Share of rows that break the shortcut; 0 for none.")] = 0.15,
    shortcut: Annotated[
        str | None,
        typer.Option(
            help='The shortcut, as in "sex=Male -> >50K"; found in the table if not given. For preference longer '
            "(default), refusal, markup or lists: the answer with more of it is preferred."
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write a corrupted copy of TRAIN, and truth.csv that says what was done to each row."""
    pairs = _takes_pairs(task, label)
    check_writable(out, folder=True)
    corrupted, truth = out / f"corrupted{'.jsonl' if pairs else suffix_to_write(train)}", out / "truth.csv"
    for path in (corrupted, truth):
        check_writable(path, folder=False)
        if same_file(path, train):
            raise InputError(f"{path} is TRAIN, which is never overwritten; choose another folder for --out.")
        if pairs:
            _check_outside(path, train)

    options: dict[str, Any] = {
        "label_errors": label_errors,
        "feature_errors": feature_errors,
        "spurious": spurious,
        "seed": seed,
    }
    if pairs:
        _inject_pairs(train, corrupted, truth, options | {"shortcut": shortcut or "longer"})
    else:
        from demix_jax.corruption import SpuriousCorrelation

        options["spurious"] = SpuriousCorrelation(spurious, shortcut=shortcut)
        _inject_table(train, corrupted, truth, options | {"label": label})


def _takes_pairs(task: str, label: str | None) -> bool:
    """Whether TRAIN holds preference pairs; InputError where --label is missing, or does not go with them."""
    pairs, given = task == "preference", {"--label": label}
    check_given({} if pairs else given, given if pairs else {}, f"--task {task}")
    return pairs


def _inject_table(train: Path, corrupted: Path, truth: Path, options: dict[str, Any]) -> None:
    from demix_jax.corruption import inject_errors
    from demix_jax.data import read_table

    table = read_table(train)
    injected = inject_errors(table, **options)
    with atomic_paths(corrupted, truth) as (first, second):
        write_table(first, injected.table)
        write_table(second, injected.truth)
    kept = f"{len(injected.table):,} of {len(table):,} rows kept."
    text = None if injected.shortcut is None else injected.shortcut.text
    _say_injected(kept, injected.truth, "rows", text, corrupted, truth)


def _inject_pairs(train: Path, corrupted: Path, truth: Path, options: dict[str, Any]) -> None:
    from demix_jax.domains.preference import inject_errors, read_pairs
    from demix_jax.domains.preference.pairs import as_lines

    pairs = read_pairs(train)
    injected = inject_errors(pairs, **options)
    with atomic_paths(corrupted, truth) as (first, second):
        first.write_text(as_lines(injected.pairs.records), encoding="utf-8", newline="")
        write_table(second, injected.truth)
    kept = f"{len(injected.pairs):,} of {len(pairs):,} pairs kept."
    shortcut = options["shortcut"] if options["spurious"] else None
    _say_injected(kept, injected.truth, "pairs", shortcut, corrupted, truth)


def _say_injected(kept: str, truth: pd.DataFrame, rows: str, shortcut: str | None, *written: Path) -> None:
    from demix_jax.report.terminal import say

    say(kept, *(f"{name}: {truth[name].eq(1).sum():,} {rows}" for name in ERROR_TYPES))
    if shortcut is not None:
        say(f"Shortcut: {shortcut}")
    say(f"Written: {', '.join(map(str, written))}")


def _check_outside(path: Path, train: Path) -> None:
    """InputError where TRAIN is a folder and `path` would lie in it."""
    if train.is_dir() and path.resolve().is_relative_to(train.resolve()):
        raise InputError(f"{path} would lie in TRAIN, which is never written to; choose another place.")


def demo(
    out: Annotated[Path | None, typer.Option(help="Folder to keep the tables and the report in.")] = None,
    seed: Seed = 0,
) -> None:
    """Corrupt a table, diagnose and repair it, and compare with the truth; about a minute."""
    if out is not None:
        check_writable(out, folder=True)

    from demix_jax.cli.demo import print_result, run
    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.report.terminal import make_console

    check_platform()
    with ProgressDisplay() as progress:
        result = run(seed=seed, out=out, progress=progress)
    print_result(result, make_console())
