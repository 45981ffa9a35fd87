"""Load a decoder from a local folder (safetensors) or a GGUF file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from demix_jax.common.checks import InputError
from demix_jax.domains.preference.decoder.llama import LlamaConfig
from demix_jax.domains.preference.decoder.tokens import tokens_from_file
from demix_jax.domains.preference.decoder.weights import Decoder, assemble

_HF_NAMES = {
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
    "attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm",
}  # fmt: skip


def load_decoder(path: str | os.PathLike) -> Decoder:
    """Load a decoder of the Llama architecture from local files; nothing is downloaded.

    Args:
      path: folder of a Hugging Face model with config.json, *.safetensors and tokenizer.json; or a .gguf file, which
        needs the extra "llm".
    Raises:
      InputError: a file or weight is missing, a weight has the wrong shape, or the architecture is not Llama.
    """
    path = Path(path).expanduser()
    if path.is_file() and path.suffix.lower() == ".gguf":
        from demix_jax.domains.preference.decoder.gguf import load_gguf

        return load_gguf(path)
    if not (path / "config.json").is_file():
        raise InputError(
            f"There is no model at {path}; give a folder with config.json, *.safetensors and tokenizer.json, or a "
            ".gguf file. Models are not downloaded."
        )
    config = _config(path / "config.json")
    read = _TensorReader(path)
    tied = "lm_head.weight" not in read.names
    weights = assemble(
        config,
        lambda name, number: read(f"model.layers.{number}.{_HF_NAMES[name]}.weight"),
        embed=read("model.embed_tokens.weight"),
        norm=read("model.norm.weight"),
        head=None if tied else read("lm_head.weight"),
        where=str(path),
    )
    return Decoder(config, weights, tokens_from_file(path / "tokenizer.json"), path.name)


def _config(path: Path) -> LlamaConfig:
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.get("model_type") != "llama":
        raise InputError(
            f"{path} describes a {stored.get('model_type')} model; only the Llama architecture can be read (Llama, "
            "SmolLM, TinyLlama and others of model_type llama)."
        )
    rope = stored.get("rope_parameters") or stored.get("rope_scaling") or {}
    scaled = rope.get("rope_type", rope.get("type", "default")) != "default"
    if scaled or stored.get("attention_bias") or stored.get("mlp_bias"):
        what = f"rope_scaling {rope}" if scaled else "biases in its layers"
        raise InputError(f"{path} asks for {what}, which this decoder does not support; choose a model without.")
    sizes = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    if missing := [name for name in sizes if name not in stored]:
        raise InputError(f"{path} lacks {', '.join(missing)}; it is not the configuration of a whole model.")
    heads = stored["num_attention_heads"]
    return LlamaConfig(
        num_layers=stored["num_hidden_layers"],
        width=stored["hidden_size"],
        hidden=stored["intermediate_size"],
        num_heads=heads,
        num_kv_heads=stored.get("num_key_value_heads") or heads,
        head_dim=stored.get("head_dim") or stored["hidden_size"] // heads,
        vocabulary=stored["vocab_size"],
        context=stored.get("max_position_embeddings", 2048),
        rope_base=float(rope.get("rope_theta") or stored.get("rope_theta", 10_000.0)),
        epsilon=float(stored.get("rms_norm_eps", 1e-5)),
    )


class _TensorReader:
    """Reads tensors by name from all safetensors files of a folder."""

    def __init__(self, folder: Path):
        from safetensors import safe_open

        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise InputError(f"{folder} has no *.safetensors file; convert the weights, or give a .gguf file.")
        self._open: Any = safe_open
        self._folder = folder
        self.names = {}
        for file in files:
            with safe_open(file, framework="flax") as opened:
                self.names |= {name: file for name in opened.keys()}

    def __call__(self, name: str) -> Any:
        if name not in self.names:
            raise InputError(f"{self._folder} lacks the weight {name}; the download may be incomplete.")
        with self._open(self.names[name], framework="flax") as opened:
            return opened.get_tensor(name)
