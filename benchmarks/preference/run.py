"""Benchmark: which preference pairs are swapped, damaged, or break a shortcut, and what repairing them is worth.

    python -m benchmarks.preference.run --model SmolLM2-135M-Instruct.Q4_1.gguf

The error classifier was trained on tables alone. The pairs are looked for in the folder that DEMIX_DATA_DIR names;
see benchmarks/README.md for the protocol. Each finished trial is one line of the trials file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it also runs as a plain script

import jax
import numpy as np

from benchmarks.common.command import run_command
from benchmarks.common.records import append_line, provenance, read_lines
from benchmarks.debugging.cheap_signals import outlier_scores
from benchmarks.debugging.peers import top
from benchmarks.debugging.scores import diagnosis_scores, flag_scores
from demix_jax import InputError, preference
from demix_jax.common.compiled_programs import make_room
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.files import atomic_paths, write_json, write_text
from demix_jax.common.progress import StepTimer
from demix_jax.data import TableEncoder
from demix_jax.diagnosis.pipeline import diagnose_samples
from demix_jax.diagnosis.result import Diagnosis
from demix_jax.domains.preference import AdapterTraining, Pairs
from demix_jax.domains.preference.decoder.hidden_states import Reading, read_answers
from demix_jax.domains.preference.decoder.tokens import TokenPair, encode_pairs
from demix_jax.domains.preference.domain import PairDomain
from demix_jax.domains.preference.examples import make_examples
from demix_jax.domains.preference.fold_models import pair_scores, take_short, train_adapters
from demix_jax.domains.preference.measured_table import LABEL
from demix_jax.domains.preference.measures import form
from demix_jax.domains.preference.model import PreferenceModel
from demix_jax.domains.preference.pairs import join_pairs, notes
from demix_jax.domains.preference.sides import draw_order

DATA = {"ultrafeedback": "preference_ultrafeedback.parquet", "hh-harmless": "preference_hh_harmless.parquet"}
STATES = ("as corrupted", "repaired by diagnosis", "repaired by truth", "never swapped or damaged")
_MIN_MARGIN = 1.0  # of the judge's scores: closer pairs count as undecided and are left out of clean data


def main(arguments: list[str] | None = None) -> int:
    """Run the trials that the file lacks, then write the results."""
    options = _parse(arguments)
    decoder = preference.load_decoder(options.model)
    for seed in range(options.seeds):
        for name in options.data:
            trial = {"data": name, "seed": seed, "pairs": options.pairs, "shortcut": options.shortcut}
            trial |= {"max_prompt": options.max_prompt, "max_answer": options.max_answer, "model": decoder.name}
            trial |= {"test_pairs": options.test}
            if any(trial.items() <= line.items() for line in read_lines(options.trials)):
                continue
            make_room()
            result = run_trial(decoder, trial, readings=options.readings)
            append_line(options.trials, trial | result)
            print(_one_line(trial, result), file=sys.stderr)
    trials = read_lines(options.trials)
    record = provenance("preference")
    write_json(options.results / "preference.json", record | {"trials": trials})
    write_text(options.results / "preference.md", markdown(trials, record))
    print(f"Wrote {options.results / 'preference.md'} from {len(trials)} trials.")
    return 0


def run_trial(decoder: preference.Decoder, trial: dict[str, Any], *, readings: Path | None = None) -> dict[str, Any]:
    """Scores of the diagnosis and its peers, accuracy after repair, seconds and peak memory.

    Args:
      readings: folder that keeps what the decoder read, with the seconds that it took; None: it reads anew.
    """
    clean, test = load_clean(trial["data"], trial["pairs"], trial["test_pairs"], trial["seed"])
    injected = preference.inject_errors(clean, shortcut=trial["shortcut"], seed=trial["seed"])
    truth, count = injected.truth, len(injected.pairs)
    damaged = np.flatnonzero(truth["feature_error"])
    before = clean.take(truth["source_row"].to_numpy()[damaged])
    everything = join_pairs(injected.pairs, before, test)
    network = PreferenceModel(decoder.config, preference.BradleyTerry())
    lengths = {name: trial[name] for name in ("max_prompt", "max_answer")}
    encoded = encode_pairs(decoder.tokens, everything, **lengths)
    steps = StepTimer()
    reading, seconds = _read(decoder, network, encoded, readings)
    steps.seconds["read the answers"] = seconds
    seconds_reading = seconds * count / len(everything)
    domain = PairDomain(
        pairs=injected.pairs,
        valid=None,
        decoder=decoder,
        network=network,
        encoded=encoded[:count],
        reading=reading.take(np.arange(count)),
        order=draw_order(np.random.default_rng([trial["seed"], 2]), count),
        **lengths,
    )
    diagnosis = diagnose_samples(domain, seed=trial["seed"], progress=steps)
    with steps("DataInf", 1):
        examples = make_examples(network, encoded[:count], reading.take(np.arange(count)))
        influence = datainf(network, network.frozen(decoder.weights), examples, seed=trial["seed"])
    with steps("train on what repair leaves", len(STATES)):
        found = {"repaired by diagnosis": diagnosis, "repaired by truth": truth}
        repaired = {name: preference.repair(injected.pairs, flags) for name, flags in found.items()}
        read = ReadPairs(decoder, network, encoded, reading)
        tested = accuracy_after_repair(read, injected, repaired, test, seed=trial["seed"])
    true_types = truth[list(ERROR_TYPES)].to_numpy(bool)
    flags = diagnosis.table[list(ERROR_TYPES)].to_numpy(bool)
    probability = diagnosis.table[[f"p_{name}" for name in ERROR_TYPES]].to_numpy(float)
    return {
        "pairs_left": count,
        "diagnosis": diagnosis_scores(true_types, flags, probability),
        "peers": peer_scores(injected.pairs, diagnosis, influence, true_types, seed=trial["seed"]),
        "found_by_damage": _found_by_damage(truth, flags[:, 1]),
        "test": tested,
        "seconds": {name: round(value, 1) for name, value in steps.seconds.items()}
        | {"reading, diagnosed pairs only": round(seconds_reading, 1), "all": round(sum(steps.seconds.values()), 1)},
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def _read(decoder: preference.Decoder, network: PreferenceModel, encoded: list[TokenPair], folder: Path | None):
    """The reading of all pairs, and how many seconds it took when it was done."""
    tokens = repr([(pair.chosen, pair.rejected) for pair in encoded])
    name = hashlib.sha256(f"{decoder.name} {network.num_adapted} {tokens}".encode()).hexdigest()[:16]
    path = None if folder is None else folder / f"{name}.pickle"
    if path is not None and path.is_file():
        return pickle.loads(path.read_bytes())
    started = time.perf_counter()
    reading = read_answers(decoder, network, encoded)
    result = reading, time.perf_counter() - started
    if path is not None:
        with atomic_paths(path) as (temporary,):
            temporary.write_bytes(pickle.dumps(result))
    return result


def load_clean(name: str, num_pairs: int, num_test: int, seed: int) -> tuple[Pairs, Pairs]:
    """Pairs to corrupt, and others to test on; where a judge gave scores, those that it told apart."""
    folder = os.environ.get("DEMIX_DATA_DIR")
    if not folder:
        raise InputError("DEMIX_DATA_DIR is not set; let it name the folder of the preference_*.parquet files.")
    pairs = preference.read_pairs(Path(folder) / DATA[name])
    decided = [
        row
        for row, (pair, record) in enumerate(zip(pairs.pairs, pairs.records, strict=True))
        if not notes(pair)
        and record.get("score_chosen", _MIN_MARGIN) - record.get("score_rejected", 0.0) >= _MIN_MARGIN
    ]
    order = np.random.default_rng([seed, len(pairs)]).permutation(decided)
    return pairs.take(order[:num_pairs]), pairs.take(order[num_pairs : num_pairs + num_test])


def datainf(network: PreferenceModel, frozen: Any, examples: Any, *, seed: int) -> np.ndarray:
    """f[N]: influence of each pair on the mean loss of the others, positive where it harms them.

    Adapters are trained on four fifths of the pairs and stopped by the rest; λ of each matrix is a tenth of the mean
    squared gradient of its entries, as published.
    Source: Kwon et al. 2024, "DataInf", eq. 5.
    """
    count = len(examples["y"])
    order = np.random.default_rng(seed).permutation(count)
    adapter, _ = train_adapters(
        jax.random.key(seed),
        network,
        frozen,
        examples,
        train_rows=order[count // 5 :],
        valid_rows=order[: count // 5],
        options=AdapterTraining(),
    )
    gradients = [leaf.reshape(count, -1) for leaf in gradients_of(network, frozen, adapter, examples)]
    influence = np.zeros(count)
    for gradient in gradients:
        gram = (gradient @ gradient.T).astype(np.float64)
        damping = 0.1 * np.trace(gram) / gradient.size
        others = (gram.sum(axis=0)[:, None] - gram) / (count - 1)  # [i, k]: gradient of i by that of all but k
        curved = (others * gram / (damping + np.diag(gram))[:, None]).mean(axis=0)
        influence += (curved - np.diag(others)) / max(damping, 1e-30)
    return influence


def gradients_of(network: PreferenceModel, frozen: Any, adapter: Any, examples: Any) -> list[np.ndarray]:
    """Gradients of N pairs' losses by each matrix of the adapters, f32[N, …]."""

    @jax.jit
    def of_pair(example):
        return jax.grad(lambda own: network.loss({"frozen": frozen, "adapter": own}, example))(adapter)

    def one(row: int) -> list[jax.Array]:
        return jax.tree.leaves(of_pair(jax.tree.map(lambda leaf: leaf[0], take_short(examples, np.array([row])))))

    return [np.stack(leaves) for leaves in zip(*map(one, range(len(examples["y"]))), strict=True)]


def peer_scores(
    pairs: Pairs, diagnosis: Diagnosis, influence: np.ndarray, truth: np.ndarray, *, seed: int
) -> dict[str, dict]:
    """Scores of every peer: one ranking each, cut at the true rate of each type in turn; `influence` is DataInf's."""
    frame = diagnosis.train
    dataset = TableEncoder.fit(frame, LABEL).transform(frame)
    lengths = np.array([form(pair.rejected)["length"] - form(pair.chosen)["length"] for pair in pairs.pairs])
    rankings = {
        "reward margin, out of fold": -diagnosis.table["margin"].to_numpy(),
        "perplexity": -np.minimum(frame["log_p, first"].to_numpy(), frame["log_p, second"].to_numpy()),
        "length": lengths,
        "scalar influence": diagnosis.influence.sum(axis=1),
        "DataInf": influence,
        "trees on the measures, out-of-fold loss": -diagnosis.evidence.p_given_label,
        "isolation forest on the measures": outlier_scores(dataset, seed=seed),
    }
    rate = truth.sum(axis=0)
    flags = {name: np.stack([top(rank, count) for count in rate], axis=1) for name, rank in rankings.items()}
    flags["all pairs"] = np.ones_like(truth)
    return {name: flag_scores(truth, flag) for name, flag in flags.items()}


class ReadPairs(NamedTuple):
    """Pairs that a decoder has read for a network: the corrupted ones, the damaged ones before that, and the test."""

    decoder: preference.Decoder
    network: PreferenceModel
    encoded: list[TokenPair]
    reading: Reading


def accuracy_after_repair(
    read: ReadPairs,
    injected: preference.InjectedPairs,
    repaired: dict[str, preference.RepairedPairs],
    test: Pairs,
    *,
    seed: int,
) -> dict:
    """Share of clean test pairs ranked right by models trained on each of STATES: of all, and of those against length.

    Args:
      repaired: by state, what a repair made of the corrupted pairs.
    """
    decoder, network, encoded, reading = read
    truth, pairs = injected.truth, injected.pairs
    count, damaged = len(truth), np.flatnonzero(truth["feature_error"])
    examples = make_examples(network, encoded, reading)
    tested = np.arange(len(encoded) - len(test), len(encoded))
    undone = np.arange(count)
    undone[damaged] = count + np.arange(len(damaged))
    sets = {"as corrupted": (np.arange(count), np.zeros(count, np.int32), np.ones(count))}
    for name, made in repaired.items():
        swapped = [made.pairs.pairs[n] != pairs.pairs[row] for n, row in enumerate(made.rows)]
        sets[name] = made.rows, np.array(swapped, np.int32), made.weight
    sets["never swapped or damaged"] = undone, truth["label_error"].to_numpy(np.int32), np.ones(count)
    frozen, result = network.frozen(decoder.weights), {}
    shorter = [len(pair.chosen) < len(pair.rejected) for pair in test.pairs]
    for name in STATES:
        rows, preferred, weight = sets[name]
        own = examples | {"y": examples["y"].copy()}
        own["y"][rows] = preferred
        weights = np.ones(len(encoded), np.float32)
        weights[rows] = weight
        order = np.random.default_rng(seed).permutation(rows)
        cut = len(order) // 5
        adapter, _ = train_adapters(
            jax.random.key(seed),
            network,
            frozen,
            own,
            train_rows=order[cut:],
            valid_rows=order[:cut],
            options=AdapterTraining(),
            weights=weights,
        )
        scores = pair_scores(network, {"frozen": frozen, "adapter": adapter}, examples, tested)
        right = scores[:, 0] > scores[:, 1]
        result[name] = {"accuracy": float(right.mean()), "accuracy, shorter chosen": float(right[shorter].mean())}
    return result


def markdown(trials: list[dict], record: dict) -> str:
    """The results as a page."""
    said = [
        "# Debugging preference data",
        "",
        f"`{record['command']}`, {record['date']}, commit {record['commit']}, {record['machine']}. The error "
        "classifier was trained on tables, never on pairs. Peers are told the true rate of each type; the diagnosis is "
        "not. The last row of the methods takes for each type the peer that turned out best, which nobody foresees. "
        "Accuracies have a standard error of 0.5 / √(test pairs).",
        "",
    ]
    for trial in trials:
        scores = {"**diagnosis**": trial["diagnosis"], **trial["peers"]}
        said += [
            f"## {trial['data']}, seed {trial['seed']}: {trial['pairs_left']} pairs, shortcut “{trial['shortcut']}”",
            "",
            f"{trial['model']}, up to {trial['max_prompt']} + {trial['max_answer']} tokens, "
            f"{trial['test_pairs']} test pairs; {trial['seconds']['all']:.0f} s in all, {trial['peak_gib']} GiB.",
            "",
            "| method | macro-F1 | swapped | damaged | breaks the shortcut |",
            "|---|---|---|---|---|",
        ]
        for name, one in scores.items():
            f1 = " | ".join(f"{one['types'][kind]['f1']:.3f}" for kind in ERROR_TYPES)
            said.append(f"| {name} | {one['macro_f1']:.3f} | {f1} |")
        best = [max(one["types"][kind]["f1"] for one in trial["peers"].values()) for kind in ERROR_TYPES]
        f1 = " | ".join(f"{value:.3f}" for value in best)
        said.append(f"| the best of the peers for each type | {np.mean(best):.3f} | {f1} |")
        said += ["", "| trained on | test accuracy | where the shorter answer is better |", "|---|---|---|"]
        said += [
            f"| {name} | {one['accuracy']:.3f} | {one['accuracy, shorter chosen']:.3f} |"
            for name, one in trial["test"].items()
        ]
        found = ", ".join(f"{kind} {share:.2f}" for kind, share in trial["found_by_damage"].items())
        said += ["", f"Share flagged as damaged, by kind: {found}.", ""]
    return "\n".join(said)


def _found_by_damage(truth, flag: np.ndarray) -> dict[str, float]:
    kinds = truth["damage"].to_numpy()
    return {kind or "none": float(flag[kinds == kind].mean()) for kind in sorted(set(kinds))}


def _one_line(trial: dict, result: dict) -> str:
    scores = result["diagnosis"]
    f1 = " ".join(f"{kind['f1']:.2f}" for kind in scores["types"].values())
    best = max(result["peers"].items(), key=lambda item: item[1]["macro_f1"])
    return (
        f"{trial['data']} | seed {trial['seed']}: macro-F1 {scores['macro_f1']:.3f} ({f1}), best peer {best[0]} "
        f"{best[1]['macro_f1']:.3f}; {result['seconds']['all']:.0f} s, {result['peak_gib']} GiB"
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="folder or .gguf file of a decoder of the Llama architecture")
    add("--data", nargs="+", choices=list(DATA), default=list(DATA))
    add("--pairs", type=int, default=400, help="clean pairs, of which the shortcut leaves some out")
    add("--test", type=int, default=200, help="clean pairs to test on after repair")
    add("--shortcut", default="longer")
    add("--max-prompt", type=int, default=512)
    add("--max-answer", type=int, default=512)
    add("--seeds", type=int, default=1)
    add("--readings", type=Path, help="folder that keeps what the decoder read, for trials of another diagnosis")
    add("--trials", type=Path, default=Path("out") / "preference.jsonl", help="file of finished trials")
    add("--results", type=Path, default=Path("benchmarks") / "results", help="folder to write to")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_command(main)
