"""The tokenizer of a GGUF file as a `tokenizer.json`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from models.errors import unsupported
from models.gguf_file import GgufFile

_SPECIAL = (gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED)


def read_tokenizer(source: GgufFile) -> Tokenizer:
    """Returns byte-level BPE as llama.cpp's pre-tokenizer `smollm` does it: single digits, then GPT-2's words.

    It adds no token by itself: what a prompt begins with is the chat template's to say.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: another kind of tokenizer.
    """
    model, splitter = source.field("tokenizer.ggml.model"), source.field("tokenizer.ggml.pre")
    if (model, splitter) != ("gpt2", "smollm"):
        raise unsupported(f"its tokenizer is {model!r} with {splitter!r}, and only 'gpt2' with 'smollm' is read")
    tokens: Sequence[str] = source.field("tokenizer.ggml.tokens")
    kinds: Sequence[int] = source.field("tokenizer.ggml.token_type")
    merges = [(left, right) for left, _, right in (line.partition(" ") for line in source.field("tokenizer.ggml.merges"))]
    tokenizer = Tokenizer(BPE({token: index for index, token in enumerate(tokens)}, merges))
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind in _SPECIAL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def token_ids(tokenizer: Tokenizer, tokens: Sequence[str]) -> tuple[int, ...]:
    """Returns the ids of tokens by their text.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: the vocabulary has no such token.
    """
    vocabulary: Mapping[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    if unknown := [token for token in tokens if token not in vocabulary]:
        raise unsupported(f"its vocabulary has no {unknown}")
    return tuple(vocabulary[token] for token in tokens)


def write_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Writes `tokenizer.json`."""
    path.write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
