"""Pairs end to end on a tiny decoder: inject, diagnose, report, repair."""

from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from tiny_decoder import made_pairs, tiny_decoder

from demix_jax import preference
from demix_jax.common.checks import InputError
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.domains.preference import AdapterTraining, Message, Pair, make_pairs
from demix_jax.domains.preference import files as preference_read
from demix_jax.domains.preference.inject import DAMAGES, SHORTCUTS
from demix_jax.domains.preference.measures import common_words, damage, form, likelihood
from demix_jax.domains.preference.page import PairPresentation
from demix_jax.domains.preference.pairs import join_pairs
from demix_jax.domains.preference.repaired_pairs import swap_record, trim, with_answers
from demix_jax.domains.preference.sides import draw_order
from demix_jax.domains.preference.words import in_words
from demix_jax.report.terminal import print_diagnosis

NUM = 44
EMPTY, SAME, LONG = 3, 7, 11  # pairs with something to note


@pytest.fixture(scope="module")
def pairs():
    made = list(made_pairs(NUM).pairs)
    made[EMPTY] = made[EMPTY]._replace(rejected=" ")
    made[SAME] = made[SAME]._replace(chosen=made[SAME].rejected)
    made[LONG] = made[LONG]._replace(prompt=(Message("user", "Well, " * 40 + "what is tea?"),))
    return make_pairs(made)


@pytest.fixture(scope="module")
def diagnosis(pairs):
    options = AdapterTraining(max_epochs=2)
    return preference.diagnose(pairs, model=tiny_decoder(), max_prompt=60, max_answer=120, training=options, seed=1)


def test_every_pair_is_described_by_models_that_never_saw_it(diagnosis, pairs):
    assert len(diagnosis.table) == NUM and diagnosis.influence.shape[0] == NUM
    assert np.isfinite(diagnosis.influence).all() and np.abs(diagnosis.influence).max() <= 1 + 1e-5
    probability = diagnosis.table[[f"p_{name}" for name in ERROR_TYPES]].to_numpy()
    assert ((probability >= 0) & (probability <= 1)).all()
    for row in range(NUM):
        assert row not in diagnosis.validation_rows[diagnosis.fold[row]]


def test_order_of_answers_is_balanced_and_known(diagnosis):
    second = diagnosis.presentation.order.second
    assert second.sum() == NUM // 2
    assert list(diagnosis.train["preferred"]) == [("first", "second")[int(s)] for s in second]


def test_measures_stand_in_the_column_of_their_answer(diagnosis, pairs):
    frame, order = diagnosis.train, diagnosis.presentation.order
    common = common_words(pairs.pairs)
    for row in (0, 1, 2, 20):
        pair = pairs.pairs[row]
        texts = (pair.rejected, pair.chosen) if order.second[row] else (pair.chosen, pair.rejected)
        for place, side in enumerate(("first", "second")):
            want = damage(texts[place], pair.prompt_text, common)
            assert frame[f"repetition, {side}"][row] == pytest.approx(want["repetition"])
            assert frame[f"missed_prompt, {side}"][row] == pytest.approx(want["missed_prompt"])
        assert frame["length difference"][row] == pytest.approx(form(texts[1])["length"] - form(texts[0])["length"])


def test_strange_pairs_are_named_never_dropped(diagnosis):
    note = diagnosis.table["note"]
    assert "The rejected answer is empty." in note[EMPTY]
    assert "Both answers are the same" in note[SAME]
    assert "of which the last 60 were read" in note[LONG]
    assert any(f"1 pair with an empty answer: row {EMPTY}." in said for said in diagnosis.summary.notes)


class Closing(HTMLParser):
    """Counts elements that are opened and never closed, or the other way round."""

    def __init__(self):
        super().__init__()
        self.stack: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def test_saved_files_show_the_texts(diagnosis, pairs, tmp_path):
    diagnosis.save(tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "diagnosis.csv")
    assert list(table["row"]) == list(range(NUM)) and set(ERROR_TYPES) <= set(table.columns)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["task"] == "preference" and summary["objective"] == "BradleyTerry"
    page = (tmp_path / "out" / "report.html").read_text()
    parser = Closing()
    parser.feed(page)
    assert not parser.stack
    flagged = diagnosis.table.index[diagnosis.table[list(ERROR_TYPES)].any(axis=1)]
    assert len(flagged), "a diagnosis without findings would show nothing"
    assert any(pairs.pairs[row].chosen[:60] in page for row in flagged)
    for column in diagnosis.train.columns.drop("preferred"):
        assert in_words(column, diagnosis.presentation.order, 0)
    assert "first" not in "".join(diagnosis.table["suspect_measures"])  # sides are called chosen and rejected


def test_repair_swaps_drops_and_weighs_as_flagged(pairs, diagnosis, tmp_path):
    table = pd.DataFrame(0, index=range(NUM), columns=list(ERROR_TYPES))
    table.loc[[0, 1], "label_error"] = 1
    table.loc[[1, 2], "feature_error"] = 1
    table.loc[[0, 5], "spurious_correlation"] = 1
    table.to_csv(tmp_path / "diagnosis.csv", index=False)
    repaired = preference.repair(pairs, tmp_path / "diagnosis.csv")
    assert set(range(NUM)) - set(repaired.rows) == {1, 2, EMPTY, SAME}
    place = {row: place for place, row in enumerate(repaired.rows)}
    assert repaired.pairs.pairs[place[0]] == pairs.pairs[0].swapped()
    assert repaired.pairs.pairs[place[5]] == pairs.pairs[5]
    assert repaired.weight.mean() == pytest.approx(1)
    assert repaired.weight[place[5]] == pytest.approx(2 * repaired.weight[place[0]])  # a wrong label breaks no shortcut
    repaired.save(tmp_path / "repaired.jsonl")
    again = preference.read_pairs(tmp_path / "repaired.jsonl")
    assert again.pairs == repaired.pairs.pairs and again.records[0]["sample_weight"] > 0
    kept = preference.repair(pairs, table, label_errors="keep", feature_errors="keep", spurious="keep")
    assert np.all(kept.weight == 1) and kept.pairs.pairs[0] == pairs.pairs[0]


def test_doubtful_preferences_are_left_and_said(pairs):
    table = pd.DataFrame(0, index=range(NUM), columns=list(ERROR_TYPES))
    table.loc[[0, 1], "label_error"] = 1
    table["p_label_error"] = np.where(table.index == 0, 0.4, 0.9)
    repaired = preference.repair(pairs, table)
    assert repaired.pairs.pairs[0] == pairs.pairs[0] and repaired.pairs.pairs[1] == pairs.pairs[1].swapped()
    assert any("less likely than not: label errors in 1 pair." in said for said in repaired.sentences)
    assert not any("Left what" in s for s in preference.repair(pairs, table, label_errors="keep").sentences)
    everything = preference.repair(pairs, table, also="look")
    assert everything.pairs.pairs[0] == pairs.pairs[0].swapped()
    assert not any("Left what" in said for said in everything.sentences)
    with pytest.raises(InputError, match="also must be"):
        preference.repair(pairs, table, also="likely")


def test_a_saved_diagnosis_finds_its_pairs_again(pairs, diagnosis, tmp_path):
    diagnosis.save(tmp_path)
    straight = preference.repair(pairs, diagnosis)
    lines = pd.read_csv(tmp_path / "diagnosis.csv").sample(frac=1, random_state=0)
    assert lines.columns[0] == "row" and lines.columns[-1] == "row_fingerprint"
    lines.to_csv(tmp_path / "diagnosis.csv", index=False)
    again = preference.repair(pairs, tmp_path)
    assert again.pairs.pairs == straight.pairs.pairs
    np.testing.assert_array_equal(again.rows, straight.rows)


def test_repair_refuses_the_diagnosis_of_other_pairs(pairs, diagnosis):
    with pytest.raises(InputError, match="another table"):
        preference.repair(make_pairs([pair.swapped() for pair in pairs.pairs]), diagnosis)
    with pytest.raises(InputError, match="label_errors must be one of swap, drop, keep"):
        preference.repair(pairs, diagnosis, label_errors="relabel")


def test_trim_takes_repeats_and_an_unfinished_end():
    whole = "Boil the water first. Then add the leaves to it."
    pair = Pair((), f"{whole} Then add the leaves to it. Then add the leaves to it.", f"{whole} And in the")
    assert trim(pair) == Pair((), whole, whole)
    assert trim(Pair((), whole, whole)) == Pair((), whole, whole)


def test_records_follow_their_pairs():
    record = {
        "prompt": "p",
        "chosen": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "a"}],
        "rejected": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "b"}],
        "score_chosen": 8,
        "score_rejected": 2,
        "chosen_model": "x",
    }
    swapped = swap_record(record)
    assert swapped["chosen"] == record["rejected"] and swapped["score_chosen"] == 2
    assert swapped["chosen_model"] == "x" and record["score_chosen"] == 8
    pair = Pair((Message("user", "p"),), "c", "d")
    changed = with_answers(record, pair)
    assert preference_read.pair_from_record(changed, "Row 0") == pair
    hh = {"chosen": "\n\nHuman: p\n\nAssistant: a", "rejected": "\n\nHuman: p\n\nAssistant: b"}
    assert preference_read.pair_from_record(with_answers(hh, pair), "Row 0") == pair
    more_turns = hh | {"chosen": f"{hh['chosen']}\n\nHuman: and?\n\nAssistant: e"}  # the last one is not the answer
    assert with_answers(more_turns, pair) == {"prompt": "p", "chosen": "c", "rejected": "d"}


@pytest.mark.parametrize("shortcut", ["longer", "markup"])
def test_injection_does_what_its_truth_says(shortcut):
    clean = list(made_pairs(200, seed=3).pairs)
    rng = np.random.default_rng(0)
    for row in rng.permutation(200)[:120]:
        side = ("chosen", "rejected")[rng.integers(2)]
        clean[row] = clean[row]._replace(**{side: getattr(clean[row], side) + "\n\n**Good luck**"})
    given = make_pairs(clean)
    injected = preference.inject_errors(
        given, label_errors=0.1, feature_errors=0.2, spurious=0.2, shortcut=shortcut, seed=1
    )
    truth, made = injected.truth, injected.pairs.pairs
    assert len(truth) == len(made)
    wrong_label, damaged = (truth[name].to_numpy() for name in ("label_error", "feature_error"))
    assert wrong_label.sum() == round(0.1 * len(made)) and damaged.sum() == round(0.2 * len(made))
    assert not (wrong_label & damaged).any()
    measure = SHORTCUTS[shortcut]
    follows = 0
    for row, source in enumerate(truth["source_row"]):
        before, after = given.pairs[source], made[row]
        difference = form(before.chosen)[measure] - form(before.rejected)[measure]
        assert (difference < 0) == (truth["spurious_correlation"][row] == 1)
        follows += difference > 0
        if wrong_label[row]:
            assert after == before.swapped()
        elif damaged[row]:
            changed = {n for n in ("prompt", "chosen", "rejected") if getattr(before, n) != getattr(after, n)}
            assert changed <= {truth.loc[row, "damaged_text"]}  # words may fall into their old order
        else:
            assert after == before
    broken = truth["spurious_correlation"].to_numpy().sum()
    assert broken / (broken + follows) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_shows_in_a_measure(kind):
    text = " ".join(made_pairs(1).pairs[0].chosen for _ in range(1)) + " Nobody was ever worse off for asking twice."
    common = common_words(made_pairs(50).pairs)
    rng = np.random.default_rng(0)
    damaged = DAMAGES[kind](rng, text)
    before, after = damage(text, "", common), damage(damaged, "", common)
    shows = {"truncated": "broken_end", "foreign": "strangeness", "repeated": "repetition"}
    if kind == "shuffled":
        assert damaged != text and sorted(damaged.split()) == sorted(text.split())
    else:
        assert after[shows[kind]] > before[shows[kind]]


def test_likelihood_measures_by_hand():
    log_p = np.array([-1.0, -2.0, -9.0, -1.0, -0.5], np.float32)
    starts = np.array([False, False, True, False, False])
    got = likelihood(log_p, starts, opening=-2.0, alone=-5.0, cut=False)
    assert got["log_p"] == pytest.approx(-2.7) and got["end"] == -0.5 and got["prompt_gain"] == 3.0
    assert got["sentence_starts"] == pytest.approx(-9 - (-4.5 / 4))
    assert got["lowest"] == pytest.approx(-2.7)  # fewer tokens than a window
    assert likelihood(log_p, starts, opening=0.0, alone=0.0, cut=True)["end"] == pytest.approx(-2.7)


def test_joined_pairs_stand_one_after_the_other():
    first, second = made_pairs(3), made_pairs(2, seed=1)
    joined = join_pairs(dataclasses.replace(first, source="a.jsonl"), second)
    assert joined.pairs == first.pairs + second.pairs and joined.records == first.records + second.records
    assert joined.source == "a.jsonl"


def test_order_is_half_and_half():
    order = draw_order(np.random.default_rng(0), 10)
    assert order.second.sum() == 5
    arranged = order.arranged(np.arange(10), -np.arange(10))
    assert all(arranged[n, order.side(n, "chosen")] == n for n in range(10))


BAD = {
    "too few": ({}, "at least 30", 10),
    "context": ({"max_answer": 5_000}, "exceed the context", NUM),
    "rank": ({"rank": 0}, "rank is 0", NUM),
    "layers": ({"num_adapted": 3}, "2 layers to adapt", NUM),
    "few validation pairs": ({"valid": made_pairs(5)}, "at least 10", NUM),
    "no model": ({"model": "absent"}, "There is no model at absent", NUM),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_said_before_any_work(case):
    options, words, num = BAD[case]
    with pytest.raises(InputError, match=words):
        preference.diagnose(made_pairs(num), **{"model": tiny_decoder()} | options)


def test_the_terminal_says_what_was_found_and_how_to_go_on(tmp_path, capsys, diagnosis):
    print_diagnosis(diagnosis, tmp_path / "out")
    said = capsys.readouterr().out
    assert "Swapped preference" in said and "Note: 1 pair with an empty answer" in said
    assert "demix-jax pairs repair pairs.jsonl --diagnosis" in said


@pytest.mark.slow
def test_errors_are_found_on_the_tiny_decoder():
    """Damage shows in the texts, so even an untrained decoder's diagnosis finds most of it."""
    injected = preference.inject_errors(made_pairs(400, seed=5), spurious=0.0, damages=("repeated", "foreign"), seed=0)
    found = preference.diagnose(injected.pairs, model=tiny_decoder(), max_prompt=60, max_answer=200)
    true, flag = (t["feature_error"].to_numpy() == 1 for t in (injected.truth, found.table))
    assert 2 * (true & flag).sum() / (true.sum() + flag.sum()) > 0.7


@pytest.mark.slow
def test_trusted_pairs_and_dpo(pairs):
    trusted = made_pairs(16, seed=9)
    found = preference.diagnose(
        pairs,
        model=tiny_decoder(),
        valid=trusted,
        objective=preference.DPO(beta=0.5),
        num_adapted=2,
        max_prompt=60,
        max_answer=80,
        training=AdapterTraining(max_epochs=1),
    )
    assert isinstance(found.presentation, PairPresentation) and found.presentation.valid is trusted
    assert len(found.table) == NUM
    assert found.validation_rows.max() < 16 and len(found.valid) == 16
    assert found.summary.settings["objective"] == "DPO" and bool(found.table["margin"].abs().max() > 0)
