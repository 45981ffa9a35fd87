"""`demix-jax demo`: corrupt a sample of UCI Adult, diagnose and repair it, retrain, and compare with the truth."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

from demix_jax.cli.arguments import Seed
from demix_jax.cli.compiling import check_platform
from demix_jax.common.bands import BAND_COLUMNS, IN_LIKELY, IN_LOOK
from demix_jax.common.checks import check_seed
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import check_writable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from demix_jax.diagnosis.result import Diagnosis

TEST_ROWS = 3_000
LABEL_ERRORS = FEATURE_ERRORS = 0.1
MINORITY = 0.15
SHORTCUT = "sex=Male -> >50K"
NUM_MODELS = 3
VERSIONS = ("corrupted", "repaired by diagnosis", "repaired by truth", "never corrupted")
_LOOK = ("Worth a look", "Of these true")
METRICS = ("AUC", "balanced accuracy", "accuracy")


def show_demo(
    *,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the tables and the report in.")] = None,
    seed: Seed = 0,
) -> None:
    """Corrupt, diagnose and repair an example table.

    It takes about a minute, and prints how many of the known errors were found and what the repair gains.
    """
    if out is not None:
        check_writable(out, folder=True)
    check_platform()

    from demix_jax.cli.display import ProgressDisplay
    from demix_jax.report.terminal import make_console

    with ProgressDisplay() as progress:
        result = run(seed=seed, out=out, progress=progress)
    print_result(result, make_console())


class DemoResult(NamedTuple):
    """What the demo measured.

    Attributes:
      detection: one line per error type: rows (true number), likely (number of likely rows), precision, recall and f1
        of these; look (number of rows worth a look), look_precision.
      retrained: one line per version of the training table: rows, AUC, balanced accuracy, accuracy on clean test rows.
      shortcut: the shortcut that was injected, in words.
      changes: what the repair by diagnosis did, in sentences.
      seconds: duration of the demo.
      diagnosis: of the corrupted table.
      out: folder that files were written to, or None.
    """

    detection: pd.DataFrame
    retrained: pd.DataFrame
    shortcut: str
    changes: list[str]
    seconds: float
    diagnosis: Diagnosis
    out: Path | None


def run(*, seed: int = 0, out: str | os.PathLike | None = None, progress: Any = None) -> DemoResult:
    """Corrupt the training part of a table, diagnose and repair it, and retrain on each version.

    Args:
      seed: seed of the split, the errors, the diagnosis and the task models.
      out: folder for the tables, the diagnosis and its report. None: nothing is written.
      progress: None, or a display with stage(name, total), advance(n) and done().
    """
    from demix_jax.common.progress import Silent
    from demix_jax.corruption import SpuriousCorrelation, inject_errors
    from demix_jax.data import adult_sample
    from demix_jax.domains.tables.domain import diagnose
    from demix_jax.repairs import repair

    check_seed(seed)
    started = time.perf_counter()
    progress = progress or Silent()
    table, label = adult_sample()
    rows = np.random.default_rng(seed).permutation(len(table))
    test = table.iloc[rows[:TEST_ROWS]].reset_index(drop=True)
    pool = table.iloc[rows[TEST_ROWS:]].reset_index(drop=True)
    injected = inject_errors(
        pool,
        label=label,
        label_errors=LABEL_ERRORS,
        feature_errors=FEATURE_ERRORS,
        spurious=SpuriousCorrelation(MINORITY, shortcut=SHORTCUT),
        seed=seed,
    )
    train, truth = injected.table, injected.truth
    diagnosis = diagnose(train, label=label, seed=seed, progress=progress)

    progress.stage("repair", 2)
    repaired = {}
    for name, flags in (("repaired by diagnosis", diagnosis), ("repaired by truth", truth)):
        repaired[name] = repair(train, flags, label=label, seed=seed)
        progress.advance()
    # The clean table gets as many rows as the corrupted one, so that they differ only in quality.
    tables = {"corrupted": train, "never corrupted": pool.iloc[: len(train)]}
    tables |= {name: result.table for name, result in repaired.items()}
    progress.stage("retrain", len(VERSIONS))
    measured = []
    for name in VERSIONS:
        measured.append(retrained_metrics(tables[name], test, label, seed=seed))
        progress.advance()
    progress.done()
    result = DemoResult(
        detection=detection_scores(truth, diagnosis.table),
        retrained=_frame(measured, [len(tables[name]) for name in VERSIONS]),
        shortcut=injected.shortcut.text if injected.shortcut else SHORTCUT,
        changes=repaired["repaired by diagnosis"].changes.sentences,
        seconds=time.perf_counter() - started,
        diagnosis=diagnosis,
        out=None if out is None else Path(out),
    )
    if result.out is not None:
        _write(result, {"clean-test": test, "truth": truth, **tables}, repaired)
    return result


def detection_scores(truth: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall and F1 of the likely rows, and precision of those worth a look; one line per error type.

    Args:
      truth: N rows with a 0/1 column per error type. found: `Diagnosis.table` of the same rows.
    """
    import pandas as pd

    lines = []
    for name, band in zip(ERROR_TYPES, BAND_COLUMNS, strict=True):
        true, bands = truth[name].to_numpy() == 1, found[band].to_numpy(dtype=object)
        likely, look = bands == IN_LIKELY, bands == IN_LOOK
        num_true, num_likely, both = int(true.sum()), int(likely.sum()), int((true & likely).sum())
        scores = both / max(1, num_likely), both / max(1, num_true), 2 * both / max(1, num_true + num_likely)
        lines.append(
            (num_true, num_likely, *scores, int(look.sum()), int((true & look).sum()) / max(1, int(look.sum())))
        )
    columns = ["rows", "likely", "precision", "recall", "f1", "look", "look_precision"]
    return pd.DataFrame(lines, columns=columns, index=list(ERROR_TYPES))


def retrained_metrics(train: pd.DataFrame, test: pd.DataFrame, label: str, *, seed: int) -> dict[str, float]:
    """AUC, balanced accuracy and accuracy on `test` of task models that were trained on `train`.

    The probabilities of NUM_MODELS models are averaged. Each of them is stopped early on another fifth of the rows.

    Args:
      train: N rows with a label of two classes; a column sample_weight, if present, gives the rows' weights.
      test: clean rows.
      label: name of the label column.
      seed: seed of the models.
    """
    import jax
    import jax.numpy as jnp
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

    from demix_jax.common.keys import training_key
    from demix_jax.data import TableEncoder
    from demix_jax.models import make_task_model, train_task_model

    weight = train["sample_weight"].to_numpy() if "sample_weight" in train else np.ones(len(train))
    features = train.drop(columns="sample_weight", errors="ignore")
    encoder = TableEncoder.fit(features, label)
    data, held_out = encoder.transform(features), encoder.transform(test)
    order = np.random.default_rng(seed).permutation(len(data))
    fifth = len(data) // 5
    turns = np.stack([np.roll(order, turn * fifth) for turn in range(NUM_MODELS)])
    model = make_task_model("mlp", data)
    trained = train_task_model(
        training_key(seed),
        model,
        {"x": jnp.asarray(data.x), "y": jnp.asarray(data.y)},
        jnp.asarray(turns[:, fifth:]),
        jnp.asarray(turns[:, :fifth]),
        weights=jnp.asarray(weight, jnp.float32),
    )
    logits = jax.vmap(model.apply, in_axes=(0, None))(trained.params, jnp.asarray(held_out.x))
    p = np.asarray(jax.nn.softmax(logits)).mean(axis=0)
    guess = p.argmax(axis=1)
    values = (
        roc_auc_score(held_out.y, p[:, 1]),
        balanced_accuracy_score(held_out.y, guess),
        accuracy_score(held_out.y, guess),
    )
    return dict(zip(METRICS, map(float, values), strict=True))


def print_result(result: DemoResult, console: Console) -> None:
    """Print both tables and how to read them."""
    from rich import box
    from rich.table import Table

    from demix_jax.report.row_words import NAMES

    def table(title: str, first: str, *others: str) -> Table:
        made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        made.add_column(first)
        for name in others:
            made.add_column(name, justify="right")
        return made

    console.print()
    found = table("What the diagnosis found", "Type", "True rows", "Likely", "Precision", "Recall", "F1", *_LOOK)
    for name, line in result.detection.iterrows():
        shares = (f"{line[key]:.2f}" for key in ("precision", "recall", "f1"))
        look = f"{line['look']:,.0f}", f"{line['look_precision']:.2f}"
        found.add_row(NAMES[str(name)], f"{line['rows']:,.0f}", f"{line['likely']:,.0f}", *shares, *look)
    console.print(found)
    metrics = table("Retrained, on clean test rows", "Training table", "Rows", "AUC", "Balanced accuracy", "Accuracy")
    for name, line in result.retrained.iterrows():
        style = "bold" if name == "repaired by diagnosis" else None
        values = (f"{line[key]:.3f}" for key in METRICS)
        metrics.add_row(str(name).capitalize(), f"{line['rows']:,.0f}", *values, style=style)
    console.print(metrics)
    for sentence in (
        "The classifier was trained on other samples of Adult among its tables, so these scores are not those of an "
        "unseen table; the README has those.",
        "AUC decides: the rows left out for the shortcut changed the shares of the classes, which moves accuracies.",
        *result.changes,
        f"Spurious correlation: rows that break the shortcut {result.shortcut}. They are right, and valuable: "
        "a model learns from them not to rely on the shortcut. They were kept, never removed.",
        f"{result.seconds:.0f} seconds.",
        *([f"Written: {result.out}; open {result.out / 'report.html'} in a browser."] if result.out else []),
    ):
        console.print(sentence, markup=False, soft_wrap=True)


def _frame(measured: list[dict[str, float]], num_rows: list[int]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(measured, index=list(VERSIONS))
    frame.insert(0, "rows", num_rows)
    return frame


def _write(result: DemoResult, tables: dict[str, pd.DataFrame], repaired: dict[str, Any]) -> None:
    from demix_jax.common.files import write_json, write_table

    assert result.out is not None
    result.diagnosis.save(result.out)
    for name, table in tables.items():
        write_table(result.out / f"{name.replace(' ', '-')}.csv", table)
    for name, made in repaired.items():
        write_table(result.out / f"changes-{name.replace(' ', '-')}.csv", made.changes.cells)
    content = {
        "detection": result.detection.to_dict("index"),
        "retrained": result.retrained.to_dict("index"),
        "shortcut": result.shortcut,
        "changes": result.changes,
        "seconds": result.seconds,
    }
    write_json(result.out / "demo.json", content)
