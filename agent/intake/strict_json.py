"""JSON as it comes from strangers: RFC 8259, and nothing that two readers could understand differently (RFC 7493, I-JSON)."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

from contract.errors import InvalidRequest, Reason


def read(payload: bytes) -> Any:
    """Reads a JSON text.

    Raises:
        InvalidRequest: UTF8_INVALID (RFC 7493, section 2.1: no lone surrogates either); JSON_INVALID with the position: also for a key
            that appears twice, for NaN and Infinity, for numbers beyond a double or 4,300 digits, and for nesting without end.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(Reason.UTF8_INVALID, f"The text is not UTF-8: byte {error.start} is wrong. Send UTF-8.") from None
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _invalid("it is nested too deeply") from None
    except ValueError:
        # The only other one that json raises: int() refuses more than sys.get_int_max_str_digits() digits.
        raise _invalid("a number has too many digits") from None
    if "\\u" in text:
        _refuse_lone_surrogates(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _invalid(f"the key {named(twice)} appears twice in one object")
    return result


def _constant(name: str) -> NoReturn:
    raise _invalid(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _invalid("a number is too large")
    return number


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            Reason.UTF8_INVALID, "A text holds half of a surrogate pair (\\ud800 to \\udfff), which is no character. Send both halves."
        ) from None


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.JSON_INVALID, f"The text is no JSON: {why}.")


def named(name: str) -> str:
    """Returns a stranger's name for something, quoted, shortened and in ASCII, for use in a message."""
    return ascii(name if len(name) <= 60 else name[:60] + "...")
