"""The decoder, the losses and the adapters' gradients, each against something written out by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_decoder import CONFIG, made_pairs, random_weights, tiny_decoder

import demix_jax as dx
from demix_jax.domains.preference import DPO, BradleyTerry, fold_models
from demix_jax.domains.preference.decoder import llama
from demix_jax.domains.preference.decoder.hidden_states import read_answers
from demix_jax.domains.preference.decoder.llama import PRODUCTS, first_layers, layer, log_likelihood, rms_norm
from demix_jax.domains.preference.decoder.tokens import Sequence, encode_pair
from demix_jax.domains.preference.examples import make_examples
from demix_jax.domains.preference.fold_models import AdapterTraining, take, take_short, train_adapters
from demix_jax.domains.preference.model import ADAPTER, PreferenceModel, last_layers
from demix_jax.domains.preference.objectives import pair_loss


def decoder_by_hand(weights, tokens, config=CONFIG):
    """Log-probabilities f64[T, V] of the next token, one sequence, one head and one position at a time."""
    w = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), weights)

    def norm(x, scale):
        return x / np.sqrt(np.mean(x * x) + config.epsilon) * scale

    def turned(x, position):
        half = len(x) // 2
        pairs = x[:half] + 1j * x[half:]
        turned = pairs * np.exp(1j * position * config.rope_base ** (-np.arange(half) / half))
        return np.concatenate([turned.real, turned.imag])

    states = [w.embed[t] for t in tokens]
    for number in range(config.num_layers):
        one = {name: leaf[number] for name, leaf in w.layers.items()}
        normed = [norm(x, one["attention_norm"]) for x in states]
        after = []
        for position, x in enumerate(normed):
            mixed = []
            for head in range(config.num_heads):
                size, group = config.head_dim, head * config.num_kv_heads // config.num_heads
                part, shared = slice(head * size, head * size + size), slice(group * size, group * size + size)
                query = turned(x @ one["q"][:, part], position)
                keys = [turned(y @ one["k"][:, shared], p) for p, y in enumerate(normed[: position + 1])]
                scores = np.exp(np.array([query @ key for key in keys]) / math.sqrt(size))
                values = np.array([y @ one["v"][:, shared] for y in normed[: position + 1]])
                mixed.append(scores @ values / scores.sum())
            x = states[position] + np.concatenate(mixed) @ one["o"]
            y = norm(x, one["mlp_norm"])
            gate = y @ one["gate"]
            after.append(x + (gate / (1 + np.exp(-gate)) * (y @ one["up"])) @ one["down"])
        states = after
    logits = np.array([norm(x, w.norm) @ w.head.T for x in states])
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def weights32(seed=0):
    return random_weights(jax.random.key(seed), CONFIG, jnp.float32)


def test_decoder_matches_one_written_out_by_hand():
    weights = weights32()
    tokens = np.random.default_rng(0).integers(0, 257, (2, 7))
    hidden = first_layers(CONFIG, weights, jnp.asarray(tokens), CONFIG.num_layers)
    states = rms_norm(hidden, weights.norm, CONFIG.epsilon)
    for row in range(2):
        want = decoder_by_hand(weights, tokens[row])
        got = log_likelihood(weights.head, states[row, :-1], jnp.asarray(tokens[row, 1:]), block=4)
        np.testing.assert_allclose(got, want[np.arange(6), tokens[row, 1:]], rtol=1e-4, atol=1e-4)


def test_reading_some_positions_is_reading_all_and_picking():
    weights = weights32()
    model = PreferenceModel(CONFIG, BradleyTerry(), num_adapted=2)
    hidden = weights.embed[jnp.asarray(np.random.default_rng(1).integers(0, 257, (2, 9)))]
    read = jnp.array([[3, 8, 0], [5, 5, 7]])
    everywhere = jnp.tile(jnp.arange(9)[None], (2, 1))
    some = last_layers(CONFIG, model.frozen(weights), None, hidden, read)
    all_ = last_layers(CONFIG, model.frozen(weights), None, hidden, everywhere)
    np.testing.assert_allclose(some, jnp.take_along_axis(all_, read[..., None], axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("block", [3, 100])
def test_attention_is_that_of_jax(block, monkeypatch):
    """In blocks of queries, the last one shorter, as at once."""
    monkeypatch.setattr(llama, "_QUERIES", block)
    seen, real = [], llama.attend
    monkeypatch.setattr(llama, "attend", lambda *given: seen.append((given, real(*given))) or seen[-1][1])
    x = jax.random.normal(jax.random.key(0), (2, 7, CONFIG.width))
    layer(CONFIG, weights32().layer(0), x)
    assert len(seen) == -(-7 // block)
    _, keys, values, _ = seen[-1][0]
    queries, got = (jnp.concatenate(parts, axis=1) for parts in zip(*((g[0], out) for g, out in seen), strict=True))
    np.testing.assert_allclose(
        got, jax.nn.dot_product_attention(queries, keys, values, is_causal=True), rtol=1e-5, atol=1e-5
    )


def test_the_frozen_pass_gives_the_likelihood_of_every_answer_token():
    """Whatever the padding, the batches and the neighbours: each sequence as by itself."""
    decoder = tiny_decoder()
    decoder = decoder._replace(weights=jax.tree.map(lambda leaf: leaf.astype(jnp.float32), decoder.weights))
    pairs = made_pairs(3)
    encoded = [
        encode_pair(decoder.tokens, pair, max_prompt=12, max_answer=20 + 9 * n) for n, pair in enumerate(pairs.pairs)
    ]
    model = PreferenceModel(CONFIG, BradleyTerry())
    reading = read_answers(decoder, model, encoded)
    for n, pair in enumerate(encoded):
        for side, sequence in enumerate((pair.chosen, pair.rejected)):
            assert len(sequence.tokens) - sequence.start == 20 + 9 * n and sequence.cut
            by_hand = decoder_by_hand(decoder.weights, sequence.tokens)
            places = np.arange(sequence.start - 1, len(sequence.tokens) - 1)
            want = by_hand[places, np.array(sequence.tokens)[sequence.start :]]
            np.testing.assert_allclose(reading.log_p[n][side], want, atol=0.15)  # states are kept in bf16
            assert abs(np.mean(reading.log_p[n][side] - want)) < 0.02


@pytest.mark.parametrize("preferred", [0, 1])
def test_pair_loss_by_hand(preferred):
    scores = np.array([0.7, -0.4])
    margin = scores[preferred] - scores[1 - preferred]
    want = -math.log(1 / (1 + math.exp(-margin)))
    assert pair_loss(jnp.asarray(scores), jnp.int32(preferred)) == pytest.approx(want, rel=1e-6)


def test_bradley_terry_is_the_mean_reading_times_the_reward():
    states = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    example = {"used": np.array([[True, True, False], [True, True, True]])}
    reward = jnp.array([[1.0], [0.0], [-2.0], [0.5]])
    got = BradleyTerry().scores({"reward": reward}, None, states, example)
    want = [float(np.mean(states[0, :2] @ reward)), float(np.mean(states[1] @ reward))]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_dpo_is_beta_times_the_log_ratio_of_the_answers():
    """β[log π(a) − log π_ref(a)] with three tokens of one answer and two of the other, all written out."""
    head = np.array([[0.2, -0.1], [0.0, 0.4], [-0.3, 0.3]])
    states = np.array([[[1.0, 2.0], [0.5, -1.0], [0.0, 1.0]], [[-1.0, 0.3], [2.0, 0.0], [9.0, 9.0]]])
    targets = np.array([[0, 2, 1], [1, 1, 0]])
    used = np.array([[True, True, True], [True, True, False]])
    reference = np.array([-2.5, -3.0])
    want = []
    for answer in range(2):
        total = 0.0
        for place in range(3):
            logits = [float(np.dot(states[answer, place], row)) for row in head]
            p = math.exp(logits[targets[answer, place]]) / sum(math.exp(v) for v in logits)
            total += math.log(p) if used[answer, place] else 0.0
        want.append(0.3 * (total - reference[answer]))
    example = {"used": jnp.asarray(used), "targets": jnp.asarray(targets), "reference": jnp.asarray(reference)}
    got = DPO(beta=0.3).scores({}, jnp.asarray(head), jnp.asarray(states), example)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.slow
def test_untrained_dpo_scores_are_zero():
    """The policy starts as the reference, so every margin does as well."""
    model, params, examples = problem_read(DPO())
    scores = jax.vmap(model.scores, in_axes=(None, 0))(params, examples)
    np.testing.assert_allclose(scores, 0.0, atol=2e-4)


def problem_read(objective, num=6):
    """Fresh adapters, and pairs as the frozen decoder read them."""
    decoder, pairs = tiny_decoder(), made_pairs(num)
    encoded = [encode_pair(decoder.tokens, pair, max_prompt=16, max_answer=40) for pair in pairs.pairs]
    model = PreferenceModel(CONFIG, objective, rank=3)
    examples = make_examples(model, encoded, read_answers(decoder, model, encoded))
    return model, {"frozen": model.frozen(decoder.weights), "adapter": model.init(jax.random.key(1))}, examples


def problem_drawn(objective, num_adapted=1, num=4, length=10, dtype=jnp.bfloat16):
    """Adapters whose B is not zero, and examples drawn at random."""
    model = PreferenceModel(CONFIG, objective, num_adapted=num_adapted, rank=3)
    rng = np.random.default_rng(0)
    leaves, structure = jax.tree.flatten(model.init(jax.random.key(1)))
    adapter = jax.tree.unflatten(
        structure, [np.asarray(leaf) + 0.1 * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    )
    examples = {
        "hidden": jnp.asarray(rng.normal(size=(num, 2, length, CONFIG.width)), jnp.bfloat16),
        "read": rng.integers(2, length, (num, 2, 5), np.int32),
        "used": rng.random((num, 2, 5)) < 0.8,
        "targets": rng.integers(0, 257, (num, 2, 5), np.int32),
        "reference": rng.normal(size=(num, 2)).astype(np.float32) - 25,
        "y": rng.integers(0, 2, num, np.int32),
    }
    examples["used"][..., 0] = True
    frozen = model.frozen(random_weights(jax.random.key(0), CONFIG, dtype))
    return model, {"frozen": frozen, "adapter": adapter}, jax.tree.map(np.asarray, examples)


@pytest.mark.parametrize(
    ("objective", "num_adapted", "dtype"),
    [
        (BradleyTerry(), 1, jnp.float32),
        pytest.param(DPO(beta=0.3), 2, jnp.float32, marks=pytest.mark.slow),
        pytest.param(BradleyTerry(), 2, jnp.bfloat16, marks=pytest.mark.slow),
        pytest.param(DPO(beta=0.3), 1, jnp.bfloat16, marks=pytest.mark.slow),
    ],
)
def test_factored_adapter_gradients_equal_dense_ones(objective, num_adapted, dtype):
    """To the last digits with f32 weights; with bf16 ones to the 2⁻⁸ by which states that are rounded may differ."""
    model, params, examples = problem_drawn(objective, num_adapted, dtype=dtype)
    tolerance = 2e-5 if dtype == jnp.float32 else 2**-8

    def dense(example):
        return jax.grad(lambda adapter: model.loss(params | {"adapter": adapter}, example))(params["adapter"])

    want = jax.vmap(dense)(examples)
    factored = dx.factored_gradients(model.loss, params, examples, select=ADAPTER)
    got = factored.to_dense()
    for name, ours, theirs in zip(
        jax.tree_util.tree_leaves_with_path(want), jax.tree.leaves(got["adapter"]), jax.tree.leaves(want), strict=True
    ):
        scale = float(np.abs(theirs).max()) + 1e-6
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=tolerance * scale, err_msg=str(name[0]))
    num_adapted_parameters = sum(leaf.size for leaf in jax.tree.leaves(params["adapter"]))
    assert factored.num_parameters == num_adapted_parameters  # none of the base model's


@pytest.mark.slow
def test_influence_is_the_cosine_of_the_adapters_gradients():
    model, params, examples = problem_drawn(BradleyTerry(), num=6)
    train, valid = take(examples, np.arange(4)), take(examples, np.arange(4, 6))
    matrix = dx.influence_matrix(model.loss, params, train, valid, normalize="cosine", select=ADAPTER)
    rows = []
    for n in range(6):
        example = take(examples, np.asarray(n))
        gradient = jax.grad(lambda adapter, e=example: model.loss(params | {"adapter": adapter}, e))(params["adapter"])
        rows.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)]))
    rows = np.array(rows, np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(matrix, -rows[:4] @ rows[4:].T, atol=1e-4)


def test_states_that_none_reads_are_left_out(monkeypatch):
    """Scores are those of the whole examples, in the order of the rows, and batches have pairs of like length."""
    model, params, examples = problem_drawn(BradleyTerry(), num=40, length=12)
    examples["read"] = np.minimum(examples["read"], np.arange(2, 12).repeat(4)[:, None, None])
    rows = np.random.default_rng(2).permutation(40)
    want = jax.vmap(model.scores, in_axes=(None, 0))(params, jax.tree.map(lambda leaf: leaf[rows], examples))
    monkeypatch.setattr(fold_models, "_STATES", 4)
    short, all_ = (take_short(examples, chosen)["hidden"] for chosen in (np.array([3, 5]), rows))
    assert short.shape[2] == 4 and all_.shape[2] == 12
    np.testing.assert_allclose(fold_models.pair_scores(model, params, examples, rows), want, rtol=1e-4, atol=1e-5)
    lengths = fold_models._lengths(examples)
    batches = fold_models._batches(jax.random.key(0), rows[:39], lengths, 8)
    assert [len(batch) for batch in batches] == [8] * 4 and len(set(np.concatenate(batches))) == 32
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 4


def test_every_product_of_an_adapted_layer_has_an_adapter():
    adapter = PreferenceModel(CONFIG, BradleyTerry(), num_adapted=2, rank=3).init(jax.random.key(0))
    assert [set(one) for one in adapter["layers"]] == [set(PRODUCTS)] * 2
    assert all(not np.any(one[name]["b"]) for one in adapter["layers"] for name in PRODUCTS)


@pytest.mark.slow
def test_training_lowers_the_loss():
    model, params, examples = problem_read(BradleyTerry(), num=24)
    rows, options = np.arange(24), AdapterTraining(max_epochs=12, patience=12, learning_rate=1e-2)
    _, loss = train_adapters(
        jax.random.key(0), model, params["frozen"], examples, train_rows=rows, valid_rows=rows, options=options
    )
    assert loss < 0.5  # log 2 untrained


@pytest.mark.slow
def test_pairs_of_no_weight_do_not_count():
    """Whatever is preferred in them, the adapters come out the same."""
    model, params, examples = problem_drawn(BradleyTerry(), num=16)
    rows = np.arange(16)
    weights = (rows >= 6).astype(float)
    given = {"train_rows": rows, "valid_rows": rows, "options": AdapterTraining(max_epochs=1), "weights": weights}
    flipped = examples | {"y": np.where(rows < 6, 1 - examples["y"], examples["y"])}
    trained = [train_adapters(jax.random.key(0), model, params["frozen"], e, **given) for e in (examples, flipped)]
    for one, other in zip(*map(jax.tree.leaves, trained), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_answers_are_cut_at_their_end_and_prompts_at_their_beginning():
    tokens = tiny_decoder().tokens
    pair = made_pairs(1).pairs[0]
    encoded = encode_pair(tokens, pair, max_prompt=8, max_answer=10)
    assert bytes(encoded.chosen.tokens) == b"istant: " + pair.chosen[:10].encode()
    assert encoded.chosen.cut and encoded.prompt_length > 8
    whole = encode_pair(tokens, pair, max_prompt=500, max_answer=500)
    assert not whole.chosen.cut and whole.chosen.tokens[-1] == tokens.end
    assert bytes(whole.chosen.tokens[:-1]).startswith(b"Human: How do I learn about")


def test_places_lie_in_the_answer_and_end_with_it():
    sequence = Sequence(list(range(30)), 10, False)
    places = BradleyTerry(num_read=8).places(sequence, 8)
    assert places.read[0] == 29 and places.read.min() >= 10 and places.used.all()
    short = BradleyTerry(num_read=8).places(Sequence(list(range(12)), 10, False), 8)
    assert short.used.sum() == 2 and set(short.read[short.used]) == {10, 11}
    dpo = DPO().places(sequence, 25)
    assert list(dpo.read[:20]) == list(range(9, 29)) and list(dpo.targets[:20]) == list(range(10, 30))
    assert dpo.used.sum() == 20
