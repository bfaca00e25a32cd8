from pathlib import Path

import pytest
from tokenizers import Tokenizer

from contract.errors import InvalidRequest
from models.gguf_file import GgufFile
from models.tokenizer import read_tokenizer, token_ids, write_tokenizer
from tests.fakes.tiny_gguf import TinyGguf


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return read_tokenizer(GgufFile(TinyGguf().write(tmp_path / "tiny.gguf")))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("hello", ["hell", "o"]),
        (" world", ["Ġw", "or", "l", "d"]),
        ("he 12", ["he", "Ġ", "1", "2"]),
        ("<|im_start|>he<|im_end|>", ["<|im_start|>", "he", "<|im_end|>"]),
        ("", []),
    ],
)
def test_text_is_cut_as_the_vocabulary_says(tokenizer: Tokenizer, text: str, pieces: list[str]) -> None:
    assert tokenizer.encode(text).tokens == pieces


@pytest.mark.parametrize("text", ["hello wörld", "12 345", "  two  spaces\n\ttab ", "日本語 🙂", "a<|im_end|>b", "\x00\x7f"])
def test_what_is_encoded_decodes_to_itself_and_nothing_is_added(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_the_file_says_the_same_as_the_tokenizer_that_wrote_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("hello 123 <|im_end|>", "ä b"):
        assert again.encode(text).ids == tokenizer.encode(text).ids


def test_tokens_have_the_ids_that_the_file_gives_them(tokenizer: Tokenizer) -> None:
    assert token_ids(tokenizer, ["<|im_end|>", "<|endoftext|>"]) == (2, 0)


def test_a_stop_token_that_is_not_in_the_vocabulary_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidRequest, match=r"no \['<stop>'\]"):
        token_ids(tokenizer, ["<|im_end|>", "<stop>"])


def test_another_way_to_cut_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="its tokenizer is 'gpt2' with 'llama-bpe'"):
        read_tokenizer(GgufFile(TinyGguf(splitter="llama-bpe").write(tmp_path / "tiny.gguf")))
