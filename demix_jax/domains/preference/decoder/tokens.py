"""Tokenize conversations with the model's own tokenizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from demix_jax.common.checks import InputError
from demix_jax.domains.preference.pairs import Message, Pair, Pairs

_NAMES = {"user": "Human", "assistant": "Assistant", "system": "System"}
_SENTENCE_MARKS = (".", "!", "?", "\n")
_CONTROL = 3  # GGUF's type number of special tokens


@dataclasses.dataclass(frozen=True)
class Tokens:
    """How a model reads conversations.

    Attributes:
      encode: text -> token ids; turn markers become special tokens.
      end: token that ends an answer.
      chat: True for ChatML turn markers, False for "Human:" and "Assistant:".
      begin: token at the very beginning, or None.
      closing: tokens that end with sentence punctuation or a line break.
    """

    encode: Callable[[str], list[int]]
    end: int
    chat: bool
    begin: int | None = None
    closing: frozenset[int] = frozenset()

    def prompt(self, messages: tuple[Message, ...]) -> list[int]:
        """Tokens of a prompt, up to the beginning of the answer."""
        if self.chat:
            turns = [f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages]
            text = "".join(turns) + "<|im_start|>assistant\n"
        else:
            turns = [f"{_NAMES.get(role, role)}: {content}\n\n" for role, content in messages]
            text = "".join(turns) + "Assistant: "
        return ([] if self.begin is None else [self.begin]) + self.encode(text)

    def answer(self, text: str, most: int) -> tuple[list[int], bool]:
        """First `most` tokens of an answer, and whether it was cut; an uncut answer ends with the end token."""
        tokens = self.encode(text)
        return (tokens[:most], True) if len(tokens) >= most else ([*tokens, self.end], False)


class Sequence(NamedTuple):
    """A prompt and an answer as tokens. start: where the answer begins. cut: whether the answer's end is missing."""

    tokens: list[int]
    start: int
    cut: bool


class TokenPair(NamedTuple):
    """chosen, rejected: sequence of each answer. prompt_length: tokens of the whole prompt, before it was cut."""

    chosen: Sequence
    rejected: Sequence
    prompt_length: int


def encode_pair(tokens: Tokens, pair: Pair, *, max_prompt: int, max_answer: int) -> TokenPair:
    """Tokenize a pair: the last `max_prompt` tokens of the prompt, the first `max_answer` tokens of each answer."""
    prompt = tokens.prompt(pair.prompt)
    kept = prompt[-max_prompt:]

    def sequence(text: str) -> Sequence:
        answer, cut = tokens.answer(text, max_answer)
        return Sequence([*kept, *answer], len(kept), cut)

    return TokenPair(sequence(pair.chosen), sequence(pair.rejected), len(prompt))


def encode_pairs(tokens: Tokens, pairs: Pairs, *, max_prompt: int, max_answer: int) -> list[TokenPair]:
    """Apply `encode_pair` to each pair."""
    return [encode_pair(tokens, pair, max_prompt=max_prompt, max_answer=max_answer) for pair in pairs.pairs]


def tokens_from_file(path: Path) -> Tokens:
    """Read a tokenizer.json.

    Raises:
      InputError: the file or the package `tokenizers` is missing, or the file holds no tokenizer.
    """
    library = _import_tokenizers()
    if not path.is_file():
        raise InputError(f"There is no {path}; the tokenizer belongs beside the weights.")
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"{path} is not a tokenizer ({error}).") from error
    return _make_tokens(tokenizer, str(path))


def tokens_from_vocabulary(
    *, tokens: list[str], merges: list[str], kinds: list[int], style: str, end: int, where: str
) -> Tokens:
    """Build a byte-level BPE tokenizer from the fields of a GGUF file.

    Args:
      tokens: texts of the V tokens.
      merges: pairs of texts, separated by a space.
      kinds: type number of each token; 3 marks special tokens.
      style: name of the rule that splits text before the merges.
      end: token that ends an answer.
      where: name of the file for error messages.
    Raises:
      InputError: `style` is not known, or the package `tokenizers` is missing.
    """
    library = _import_tokenizers()
    byte_level = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    styles = {
        "gpt-2": byte_level,
        "smollm": library.pre_tokenizers.Sequence([library.pre_tokenizers.Digits(individual_digits=True), byte_level]),
    }
    if style not in styles:
        raise InputError(f"{where} splits text as {style} does, which is not known; put tokenizer.json beside it.")
    vocabulary = {text: number for number, text in enumerate(tokens)}
    pairs = [(left, right) for left, right in (merge.split(" ", 1) for merge in merges)]
    tokenizer = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = styles[style]
    tokenizer.decoder = library.decoders.ByteLevel()
    tokenizer.add_special_tokens([text for text, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL])
    return _make_tokens(tokenizer, where, end)


def _make_tokens(tokenizer, where: str, end: int | None = None) -> Tokens:
    """Wrap a tokenizer of the package `tokenizers`; `end` counts where it has none of the usual end tokens."""
    chat = tokenizer.token_to_id("<|im_start|>") is not None and tokenizer.token_to_id("<|im_end|>") is not None
    ends = ("<|im_end|>", "<|eot_id|>", "</s>", "<|endoftext|>", "<|end_of_text|>")
    known = [number for text in ends if (number := tokenizer.token_to_id(text)) is not None]
    if end is None and not known:
        raise InputError(f"{where} has none of the tokens {', '.join(ends)} to end an answer with; use another model.")
    begin = next((n for t in ("<s>", "<|begin_of_text|>") if (n := tokenizer.token_to_id(t)) is not None), None)

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    ids = range(tokenizer.get_vocab_size())
    texts = tokenizer.decode_batch([[number] for number in ids], skip_special_tokens=False)
    closing = frozenset(n for n, text in zip(ids, texts, strict=True) if text.rstrip(" ").endswith(_SENTENCE_MARKS))
    return Tokens(
        encode=encode,
        end=known[0] if known else int(end or 0),
        chat=chat,
        begin=None if chat else begin,
        closing=closing,
    )


def _import_tokenizers():
    """The package `tokenizers`; InputError where it is missing."""
    try:
        import tokenizers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError('A model\'s tokenizer needs the package tokenizers: pip install "demix_jax[llm]".') from error
    import tokenizers.decoders  # pyright: ignore[reportMissingImports]
    import tokenizers.models  # pyright: ignore[reportMissingImports]
    import tokenizers.pre_tokenizers  # pyright: ignore[reportMissingImports]

    return tokenizers
