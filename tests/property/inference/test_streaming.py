"""Streamed text is the whole text, cut anywhere."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent.inference.streaming import StopFilter, StreamDecoder


def decode_bytes(tokens: Sequence[int]) -> str:
    """A tokenizer of one byte a token: every character but ASCII spans tokens."""
    return bytes(tokens).decode(errors="replace")


@given(st.text())
def test_pieces_of_valid_text_join_to_it_and_hold_whole_characters(text: str) -> None:
    decoder = StreamDecoder(decode_bytes)
    pieces = [decoder.push(byte) for byte in text.encode()]
    assert "".join(pieces) + decoder.finish() == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


@given(st.binary())
def test_pieces_of_any_bytes_join_to_what_decoding_all_at_once_gives(tokens: bytes) -> None:
    decoder = StreamDecoder(decode_bytes)
    joined = "".join(decoder.push(token) for token in tokens) + decoder.finish()
    assert joined == decode_bytes(tokens)


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_text_ends_before_the_first_stop_sequence_however_it_is_cut(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    found = [text.find(stop) for stop in stops if stop in text]
    stop_filter = StopFilter(stops)
    shown = ""
    stopped = False
    for piece in pieces:
        new, stopped = stop_filter.push(piece)
        shown += new
        if stopped:
            break
    shown += stop_filter.finish()
    assert stopped == bool(found)
    # A longer sequence may begin earlier and be complete later: the stream ends at whichever is complete first.
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    if not found:
        assert shown == text
