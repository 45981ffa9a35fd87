"""Load a decoder from a GGUF file: dequantised weights and the vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from demix_jax.common.checks import InputError
from demix_jax.domains.preference.decoder.llama import LlamaConfig
from demix_jax.domains.preference.decoder.tokens import tokens_from_file, tokens_from_vocabulary
from demix_jax.domains.preference.decoder.weights import Decoder, assemble

_GGUF_NAMES = {
    "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
    "attention_norm": "attn_norm", "mlp_norm": "ffn_norm",
}  # fmt: skip


def load_gguf(path: Path) -> Decoder:
    """Load a decoder from one GGUF file; a tokenizer.json beside it overrides the vocabulary in the file.

    Raises:
      InputError: the package `gguf` is not installed, the file is not GGUF, or it holds another architecture.
    """
    try:
        import gguf  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError('Reading a .gguf file needs the package gguf: pip install "demix_jax[llm]".') from error
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, OSError, IndexError) as error:
        raise InputError(f"{path} is not a GGUF file ({error}).") from error
    fields = {name: field for name, field in reader.fields.items()}
    architecture = _value(fields, "general.architecture", path)
    if architecture != "llama":
        raise InputError(f"{path} holds a {architecture} model; only the Llama architecture can be read.")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = _config(fields, path, vocabulary=int(tensors["token_embd.weight"].shape[1]))

    def tensor(name: str) -> np.ndarray:
        if name not in tensors:
            raise InputError(f"{path} lacks the weight {name}; the download may be incomplete.")
        found = tensors[name]
        return gguf.dequantize(found.data, found.tensor_type)

    def layer_tensor(name: str, number: int) -> np.ndarray:
        stored = tensor(f"blk.{number}.{_GGUF_NAMES[name]}.weight")
        heads = {"q": config.num_heads, "k": config.num_kv_heads}.get(name)
        return stored if heads is None else _interleaved_to_halves(stored, heads)

    weights = assemble(
        config,
        layer_tensor,
        embed=tensor("token_embd.weight"),
        norm=tensor("output_norm.weight"),
        head=tensor("output.weight") if "output.weight" in tensors else None,
        where=str(path),
    )
    beside = path.with_name("tokenizer.json")
    tokens = tokens_from_file(beside) if beside.is_file() else _vocabulary(fields, path)
    return Decoder(config, weights, tokens, path.stem)


def _interleaved_to_halves(matrix: np.ndarray, num_heads: int) -> np.ndarray:
    """Reorder the rows of each head of a matrix [out, in]: GGUF rotates adjacent rows together, `rotate` two halves."""
    rows, columns = matrix.shape
    heads = matrix.reshape(num_heads, rows // num_heads // 2, 2, columns)
    return heads.swapaxes(1, 2).reshape(rows, columns)


def _config(fields: dict[str, Any], path: Path, vocabulary: int) -> LlamaConfig:
    def value(name: str) -> Any:
        return _value(fields, f"llama.{name}", path)

    heads, width = value("attention.head_count"), value("embedding_length")
    given = {name: field.contents() for name, field in fields.items() if name.startswith("llama.")}
    if given.get("llama.rope.scaling.type") not in (None, "none"):
        raise InputError(f"{path} asks for scaled rotary embeddings, which are not supported; choose another model.")
    return LlamaConfig(
        num_layers=value("block_count"),
        width=width,
        hidden=value("feed_forward_length"),
        num_heads=heads,
        num_kv_heads=given.get("llama.attention.head_count_kv", heads),
        head_dim=given.get("llama.attention.key_length", width // heads),
        vocabulary=vocabulary,
        context=value("context_length"),
        rope_base=float(given.get("llama.rope.freq_base", 10_000.0)),
        epsilon=float(value("attention.layer_norm_rms_epsilon")),
    )


def _vocabulary(fields: dict[str, Any], path: Path):
    model = _value(fields, "tokenizer.ggml.model", path)
    if model != "gpt2":
        raise InputError(f"{path} holds a {model} vocabulary; put the model's tokenizer.json beside it.")
    return tokens_from_vocabulary(
        tokens=_value(fields, "tokenizer.ggml.tokens", path),
        merges=_value(fields, "tokenizer.ggml.merges", path),
        kinds=_value(fields, "tokenizer.ggml.token_type", path),
        style=_value(fields, "tokenizer.ggml.pre", path),
        end=_value(fields, "tokenizer.ggml.eos_token_id", path),
        where=str(path),
    )


def _value(fields: dict[str, Any], name: str, path: Path) -> Any:
    if name not in fields:
        raise InputError(f"{path} lacks the field {name}; it is not a language model of the Llama architecture.")
    return fields[name].contents()
