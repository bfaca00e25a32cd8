from collections.abc import Sequence

from agent.inference.streaming import StopFilter, StreamDecoder


def decode_bytes(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode(errors="replace")


def test_a_character_is_shown_when_its_last_byte_has_come() -> None:
    decoder = StreamDecoder(decode_bytes)
    assert [decoder.push(byte) for byte in "a🌊b".encode()] == ["a", "", "", "", "🌊", "b"]


def test_half_a_character_at_the_end_is_shown_as_a_replacement() -> None:
    decoder = StreamDecoder(decode_bytes)
    assert [decoder.push(byte) for byte in "é".encode()[:1]] == [""]
    assert decoder.finish() == "\ufffd"


def test_the_decoder_keeps_no_more_than_the_last_two_pieces() -> None:
    seen: list[int] = []

    def decode(tokens: Sequence[int]) -> str:
        seen.append(len(tokens))
        return decode_bytes(tokens)

    decoder = StreamDecoder(decode)
    for byte in b"abcdefgh" * 100:
        decoder.push(byte)
    assert max(seen) <= 2


def test_a_stop_sequence_is_found_over_piece_boundaries() -> None:
    stops = StopFilter(["\n\nUser:"])
    assert stops.push("Hello\n") == ("Hello", False)
    assert stops.push("\nUs") == ("", False)
    assert stops.push("er: no") == ("", True)


def test_what_only_looked_like_a_stop_sequence_is_shown_after_all() -> None:
    stops = StopFilter(["STOP"])
    assert stops.push("ST") == ("", False)
    assert stops.push("ART") == ("START", False)
    assert stops.push(" S") == (" ", False)
    assert stops.finish() == "S"


def test_the_earliest_of_two_stop_sequences_counts() -> None:
    assert StopFilter(["world", "lo"]).push("hello world") == ("hel", True)


def test_an_empty_stop_sequence_stops_nothing() -> None:
    assert StopFilter([""]).push("text") == ("text", False)
