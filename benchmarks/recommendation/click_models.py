"""Benchmark: test AUC of DIN and DIEN on clean click samples, beside a DeepFM in PyTorch on the same split.

    export DEMIX_DATA_DIR=…
    python -m benchmarks.recommendation.click_models            # MovieLens-100k, all samples; --max-samples for less

Needs torch. Each network stops by its AUC on the validation split and is tested on the last 15 % of the log.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

import jax
import jax.numpy as jnp

from benchmarks.common.records import markdown_table, provenance
from demix_jax.common.files import write_json, write_text
from demix_jax.data import TableEncoder
from demix_jax.diagnosis.fold_models import task_outputs
from demix_jax.domains.recommendation import (
    IDENTIFIERS,
    LABEL,
    SPLITS,
    InteractionSamples,
    load_recommendation,
    make_samples,
)
from demix_jax.domains.recommendation.networks import CLICK_MODELS, make_click_model
from demix_jax.models import ranking_error, train_task_model

WIDTH, WIDTHS = 8, (64, 32)
MAX_EPOCHS, PATIENCE, BATCH, RATE, DECAY = 8, 2, 256, 2e-3, 1e-4


def main(arguments: list[str] | None = None) -> int:
    """Train each network on each seed, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", default="movielens")
    parser.add_argument("--max-samples", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("benchmarks") / "results")
    options = parser.parse_args(arguments)
    samples = make_samples(load_recommendation(options.log), max_samples=options.max_samples)
    x, y = inputs(samples)
    rows = [np.flatnonzero(samples.split == name) for name in SPLITS]
    networks: dict[str, Callable[[int], np.ndarray]] = {
        name: partial(ours, name, samples, x, y, rows) for name in CLICK_MODELS
    }
    networks["DeepFM, PyTorch"] = partial(deep_fm, samples, x, y, rows)
    results = []
    for seed in range(options.seeds):
        for name, train in networks.items():
            started = time.perf_counter()
            score = train(seed)
            seconds = time.perf_counter() - started
            results.append({"network": name, "seed": seed, "seconds": round(seconds, 1), **auc(y, rows, score)})
            print(results[-1], flush=True)
    counts = {name: len(part) for name, part in zip(SPLITS, rows, strict=True)}
    record = provenance("click_models") | {"log": options.log, "samples": counts, "results": results}
    write_json(options.results / "click_models.json", record)
    write_text(options.results / "click_models.md", markdown(record))
    return 0


def markdown(record: dict) -> str:
    """The write-up: means over seeds, and their spread."""
    rows = []
    for name in dict.fromkeys(one["network"] for one in record["results"]):
        of_network = [one for one in record["results"] if one["network"] == name]
        values = [[one[key] for one in of_network] for key in ("test_auc", "valid_auc", "seconds")]
        aucs = [f"{np.mean(each):.4f} ({min(each):.4f} to {max(each):.4f})" for each in values[:2]]
        rows.append([name, *aucs, f"{np.mean(values[2]):.0f}"])
    samples = ", ".join(f"{number:,} {split}" for split, number in record["samples"].items())
    seeds = len({one["seed"] for one in record["results"]})
    return "\n\n".join(
        [
            f"# Click models on {record['log']}",
            f"Clean samples: {samples}; embeddings of width {WIDTH}, hidden layers {WIDTHS}. {seeds} seed(s): mean, "
            "least and largest. Seconds take in compilation, training and the outputs for all samples.",
            markdown_table(["network", "test AUC", "validation AUC", "seconds"], rows),
            f"*{record['date']}, commit {record['commit']}; {record['machine']}. `{record['command']}`*\n",
        ]
    )


def inputs(samples: InteractionSamples) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What the networks take, encoded by the training split, and the labels."""
    table = samples.table.drop(columns=list(IDENTIFIERS))
    encoder = TableEncoder.fit(samples.part("train").table.drop(columns=list(IDENTIFIERS)), LABEL)
    dataset = encoder.transform(table)
    return samples.inputs(dataset.x), dataset.y


def auc(y: np.ndarray, rows: list[np.ndarray], score: np.ndarray) -> dict[str, float]:
    """AUC on the validation and the test split."""
    from sklearn.metrics import roc_auc_score

    return {f"{name}_auc": float(roc_auc_score(y[r], score[r])) for name, r in zip(SPLITS[1:], rows[1:], strict=True)}


def ours(name: str, samples, x, y, rows, seed: int) -> np.ndarray:
    """Margins f32[N] of DIN or DIEN."""
    model = make_click_model(name, samples.num_users, samples.num_items, samples.features.num_categories)
    arrays = jax.tree.map(jnp.asarray, ({"x": x, "y": y}, rows[0][None], rows[1][None]))
    trained = train_task_model(
        jax.random.key(seed), model, *arrays, stop_by=ranking_error, max_epochs=MAX_EPOCHS, patience=PATIENCE,
        batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY,
    )  # fmt: skip
    params = jax.tree.map(lambda leaf: leaf[0], trained.params)
    outputs = np.asarray(task_outputs(model, params, arrays[0]["x"]))
    return outputs[:, 1] - outputs[:, 0]


def deep_fm(samples, x, y, rows, seed: int) -> np.ndarray:
    """Margins f32[N] of a DeepFM (Guo et al. 2017) over user, item, category, mean of the history and side features."""
    import torch
    from sklearn.metrics import roc_auc_score
    from torch import nn

    torch.manual_seed(seed)
    counts = {"user": samples.num_users, "item": samples.num_items, "category": samples.features.num_categories}

    class DeepFM(nn.Module):
        def __init__(self, num_side: int) -> None:
            super().__init__()
            self.tables = nn.ModuleDict({name: nn.Embedding(count + 1, WIDTH) for name, count in counts.items()})
            self.linear = nn.ModuleDict({name: nn.Embedding(count + 1, 1) for name, count in counts.items()})
            for table in (*self.tables.values(), *self.linear.values()):
                nn.init.normal_(table.weight, std=0.05)
            self.of_side, self.side_weight = nn.Linear(num_side, WIDTH), nn.Linear(num_side, 1)
            sizes = [WIDTH * 5 + num_side, *WIDTHS]
            layers = [part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), nn.SiLU())]
            self.deep = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 1))

        def forward(self, x: dict[str, Any]) -> Any:
            present = (x["history"] > 0).unsqueeze(-1)
            clicks = (self.tables["item"](x["history"]) * present).sum(1) / present.sum(1).clamp(min=1)
            fields = [self.tables[name](x[name]) for name in counts] + [clicks, self.of_side(x["side"])]
            stacked = torch.stack(fields, dim=1)
            pairwise = 0.5 * (stacked.sum(1).square() - stacked.square().sum(1)).sum(1, keepdim=True)
            first = sum(self.linear[name](x[name]) for name in counts) + self.side_weight(x["side"])
            return (first + pairwise + self.deep(torch.cat([*fields, x["side"]], dim=1)))[:, 0]

    tensors = {name: torch.from_numpy(leaf if name == "side" else leaf.astype(np.int64)) for name, leaf in x.items()}
    target = torch.from_numpy(y.astype(np.float32))
    model, loss = DeepFM(x["side"].shape[1]), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    rng, best, since, kept = np.random.default_rng(seed), 0.0, 0, model.state_dict()

    def outputs(index: np.ndarray) -> Any:
        with torch.no_grad():
            parts = [model({name: leaf[part] for name, leaf in tensors.items()}) for part in np.array_split(index, 64)]
        return torch.cat(parts)

    for _ in range(MAX_EPOCHS):
        for batch in np.array_split(rng.permutation(rows[0]), max(1, len(rows[0]) // BATCH)):
            optimizer.zero_grad()
            loss(model({name: leaf[batch] for name, leaf in tensors.items()}), target[batch]).backward()
            optimizer.step()
        now, since = float(roc_auc_score(y[rows[1]], outputs(rows[1]))), since + 1
        if now > best:
            best, since, kept = now, 0, {name: leaf.clone() for name, leaf in model.state_dict().items()}
        if since >= PATIENCE:
            break
    model.load_state_dict(kept)
    return outputs(np.arange(len(y))).numpy()


if __name__ == "__main__":
    sys.exit(main())
