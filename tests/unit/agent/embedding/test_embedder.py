"""Texts that mean the same lie closer together than those that do not, whatever their length."""

import numpy as np
import pytest

from agent.embedding.embedder import DIMENSIONS, MOST_TOKENS, Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def cosine(embedder: Embedder, one: str, other: str) -> float:
    return float(embedder.embed(one) @ embedder.embed(other))


@pytest.mark.parametrize("text", ["", " \n", "Why is the sky blue?", "為什麼天空是藍色的", "word " * 5000])
def test_every_text_has_a_vector_of_length_one(embedder: Embedder, text: str) -> None:
    vector = embedder.embed(text)
    assert vector.shape == (DIMENSIONS,)
    assert vector.dtype == np.float32
    assert float(vector @ vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "same", "other"),
    [
        ("How do I reset my password?", "How can I reset a forgotten password?", "How do I reset the till?"),
        ("What is the capital of France?", "Which city is the capital of France?", "How do I bake bread?"),
        ("The pump in hall 3 leaks.", "There is a leak at the pump in hall 3.", "The lamp in hall 3 is broken."),
    ],
)
def test_what_means_the_same_is_closer(embedder: Embedder, text: str, same: str, other: str) -> None:
    assert cosine(embedder, text, same) > cosine(embedder, text, other) + 0.1


def test_a_text_has_the_same_vector_each_time(embedder: Embedder) -> None:
    assert np.array_equal(embedder.embed("Why is the sky blue?"), embedder.embed("Why is the sky blue?"))


def test_a_vector_cannot_be_written_to(embedder: Embedder) -> None:
    assert not embedder.embed("Why is the sky blue?").flags.writeable


def test_what_comes_after_the_most_tokens_is_not_read_and_what_comes_before_is(embedder: Embedder) -> None:
    start = "word " * (MOST_TOKENS - 2)
    assert embedder.tokens(start) == MOST_TOKENS
    assert np.array_equal(embedder.embed(start), embedder.embed(f"{start} and a question about pumps"))
    assert not np.array_equal(embedder.embed(start), embedder.embed("word " * (MOST_TOKENS - 3) + "pump"))


def test_the_marks_at_both_ends_count_as_tokens(embedder: Embedder) -> None:
    assert (embedder.tokens(""), embedder.tokens("pump")) == (2, 3)
