import pytest

from agent.intake.strict_json import named, read
from contract.errors import InvalidRequest, Reason


def test_json_is_read() -> None:
    assert read('{"a": [1, -2.5, "é\\ud83d\\ude00", null, true]}'.encode()) == {"a": [1, -2.5, "é😀", None, True]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n "b"}', "line 2, column 5"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' appears twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": "\x01"}', "control character"),
    ],
)
def test_what_is_no_json_is_told_with_its_place_or_reason(text: bytes, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        read(text)
    assert refused.value.reason == Reason.JSON_INVALID


@pytest.mark.parametrize("text", [b"\xff", b'{"a": "\xc3"}', b'"\\ud800"', b'{"\\uDC00": 1}', b'["\\ud800\\ud800"]', b'"\xed\xa0\x80"'])
def test_what_is_no_unicode_is_told(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(text)
    assert refused.value.reason == Reason.UTF8_INVALID


def test_a_name_in_a_message_is_short_and_ascii() -> None:
    assert named("é\n" + "x" * 100).isascii()
    assert len(named("x" * 100)) < 70
