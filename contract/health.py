"""When a model is good enough to serve: a bundle's own test, the figures that are measured, and how they are held to limits.

The test is the file `health.json` of a bundle. `bundle.json` lists it like any other file, so whoever vouches for the bundle vouches for
it. This module knows the form and the rules; measuring is done where the model is (`agent/update/health_gate.py`).
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from contract.errors import InvalidRequest, Reason

FORMAT_VERSION = 1
HEALTH_FILE = "health.json"
MAX_HEALTH_BYTES = 64 * 1024

PERPLEXITY = "perplexity"
PERPLEXITY_RATIO = "perplexity_ratio"
GOLDEN_SHARE = "golden_share"
TOKENS_PER_SECOND = "tokens_per_second"
SPEED_RATIO = "speed_ratio"
RESIDENT_BYTES = "resident_bytes"
TEMPERATURE_CELSIUS = "temperature_celsius"
SHADOW_AGREEMENT = "shadow_agreement"
ERROR_SHARE = "error_share"
ESCALATION_SHARE_RISE = "escalation_share_rise"
NEGATIVE_SHARE_RISE = "negative_share_rise"

AT_LEAST = (GOLDEN_SHARE, TOKENS_PER_SECOND, SPEED_RATIO, SHADOW_AGREEMENT)
"""Figures that a limit bounds from below. It bounds all others from above."""

FIGURES = (
    GOLDEN_SHARE,
    PERPLEXITY,
    PERPLEXITY_RATIO,
    RESIDENT_BYTES,
    TEMPERATURE_CELSIUS,
    TOKENS_PER_SECOND,
    SPEED_RATIO,
    SHADOW_AGREEMENT,
    ERROR_SHARE,
    ESCALATION_SHARE_RISE,
    NEGATIVE_SHARE_RISE,
)
"""All of them; of several that are beyond their limits, the first here is named."""

OF_A_BUNDLE = (GOLDEN_SHARE, PERPLEXITY, TOKENS_PER_SECOND, RESIDENT_BYTES, TEMPERATURE_CELSIUS)
"""Those that a bundle may limit; the others compare two models, and are a rollout's to say."""

TEXT = (
    "The harbour wakes before the town does. At five the first boats come in past the lighthouse, low in the water, and the men on the "
    "quay catch their ropes without a word. The fish are sorted by size, packed in ice and carried to the hall, where the buyers walk "
    "up and down with their hands in their pockets. By seven o'clock everything is sold. Then the streets fill with children on their "
    "way to school, the baker opens his door, and the smell of warm bread reaches as far as the old sea wall. In winter the wall is "
    "the most important thing in the town. It was built after the great flood, of stone from the hills, and it has been raised twice "
    "since then. Twice a year an engineer comes from the city, walks along it from end to end, and writes down every crack."
)
"""What perplexity is measured on where a bundle brings no text of its own. It was written for this, so no model was trained on it."""

SURE = 1.645
"""So many standard errors a rise must be beyond before chance is ruled out: 95 % of a normal distribution, one-sided."""

_MOST_GOLDEN = 32
_LONGEST_TEXT_CHARACTERS = 8192
_LONGEST_PATTERN_CHARACTERS = 100
_MOST_CHOICES = 16
_MOST_ANSWER_TOKENS = 256
_USUAL_ANSWER_TOKENS = 48
_ROLES = ("system", "user", "assistant")
_REPEATS = re.compile(r"(?<!\\)(?:\\\\)*[*+?{]")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a golden prompt."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Golden:
    """A prompt with an answer that can be checked.

    Args:
        messages: oldest first, the last one the user's.
        any_of: texts; the answer must hold one of them, whatever the case.
        patterns: or match one of these regular expressions. They repeat nothing, so that matching always ends soon.
        max_tokens: of the answer.
    """

    messages: tuple[Turn, ...]
    any_of: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    max_tokens: int = _USUAL_ANSWER_TOKENS

    def passes(self, answer: str) -> bool:
        """Says whether an answer is right."""
        folded = answer.casefold()
        return any(text.casefold() in folded for text in self.any_of) or any(
            re.search(pattern, folded, re.IGNORECASE) for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class HealthTest:
    """What a bundle asks of itself.

    Args:
        golden: prompts; may be none.
        text: what perplexity is measured on.
        limits: by the figure's name.
    """

    golden: tuple[Golden, ...] = ()
    text: str = TEXT
    limits: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Returns the bytes of `health.json`: equal tests have equal bytes."""
        content = {"format_version": FORMAT_VERSION, "golden": [asdict(golden) for golden in self.golden], "text": self.text}
        return json.dumps({**content, "limits": dict(self.limits)}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> "HealthTest":
        """Reads and checks `health.json`.

        Raises:
            InvalidRequest: BUNDLE_INVALID, with what is wrong.
        """
        if len(text) > MAX_HEALTH_BYTES:
            raise _invalid(f"it has {len(text)} bytes, at most {MAX_HEALTH_BYTES} are read")
        try:
            content = json.loads(text)
            if content.pop("format_version") != FORMAT_VERSION:
                raise ValueError(f"format_version is not {FORMAT_VERSION}")
            return cls.from_content(content)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise _invalid(f"{type(error).__name__}: {str(error)[:200]}") from error

    @classmethod
    def from_content(cls, content: Any) -> "HealthTest":
        """Reads what is in `health.json`, or in `[health]` of a recipe: `golden`, `text` and `limits`; each may be left out.

        Raises:
            InvalidRequest: BUNDLE_INVALID, with what is wrong.
        """
        try:
            _check_fields(content, {"golden", "text", "limits"})
            golden = _listed(content.get("golden", []), _MOST_GOLDEN, "golden")
            limits = content.get("limits", {})
            _check_fields(limits, set(OF_A_BUNDLE))
            return cls(
                golden=tuple(_golden(item) for item in golden),
                text=_text(content.get("text", TEXT), _LONGEST_TEXT_CHARACTERS, "text"),
                limits={name: _number(limits[name], name) for name in OF_A_BUNDLE if name in limits},
            )
        except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
            raise _invalid(f"{type(error).__name__}: {str(error)[:200]}") from error


def first_failed(figures: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Returns the name of the first figure that is beyond its limit, or is no number; empty: all are within.

    What was not measured is not judged: a device may have no thermometer, and a model nothing to be compared with.
    """
    return next((name for name in FIGURES if name in figures and not _holds(name, figures[name], limits)), "")


def beyond(name: str, figures: Mapping[str, float], limits: Mapping[str, float]) -> str:
    """Says in a sentence that a figure is beyond its limit."""
    if name not in limits:
        return f"{name} is no number."
    return f"{name} is {figures[name]:.4g}; {'at least' if name in AT_LEAST else 'at most'} {limits[name]:.4g} is wanted."


def tightened(limits: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """Returns the limits of both; where both limit one figure, the one that lets less pass."""
    result = {**others, **limits}
    for name in limits.keys() & others.keys():
        result[name] = (max if name in AT_LEAST else min)(limits[name], others[name])
    return result


def rise(before: int, before_total: int, after: int, after_total: int) -> tuple[float, float] | None:
    """Compares two shares. Returns by how much the second is higher, and how much of a rise chance alone explains.

    The second is SURE standard errors of the difference of two proportions, pooled (Fleiss, Levin and Paik 2003, "Statistical Methods for
    Rates and Proportions", section 3.2). A limit is to be raised by it, or a handful of prompts would decide.

    Args:
        before: so many of the first kind.
        before_total: of so many.
        after: so many later.
        after_total: of so many.

    Returns:
        None: one of the two was not counted yet.
    """
    if before_total <= 0 or after_total <= 0:
        return None
    pooled = (before + after) / (before_total + after_total)
    error = math.sqrt(pooled * (1 - pooled) * (1 / before_total + 1 / after_total))
    return after / after_total - before / before_total, SURE * error


def _holds(name: str, figure: float, limits: Mapping[str, float]) -> bool:
    if not math.isfinite(figure):
        return False
    if name not in limits:
        return True
    return figure >= limits[name] if name in AT_LEAST else figure <= limits[name]


def _golden(value: Any) -> Golden:
    _check_fields(value, {"prompt", "messages", "any_of", "patterns", "max_tokens"})
    if ("prompt" in value) == ("messages" in value):
        raise ValueError("a golden prompt has either prompt or messages")
    messages = [{"role": "user", "content": value["prompt"]}] if "prompt" in value else value["messages"]
    golden = Golden(
        messages=tuple(_turn(item) for item in _listed(messages, _MOST_CHOICES, "messages")),
        any_of=tuple(
            _text(item, _LONGEST_PATTERN_CHARACTERS, "any_of") for item in _listed(value.get("any_of", []), _MOST_CHOICES, "any_of")
        ),
        patterns=tuple(_pattern(item) for item in _listed(value.get("patterns", []), _MOST_CHOICES, "patterns")),
        max_tokens=_answer_tokens(value.get("max_tokens", _USUAL_ANSWER_TOKENS)),
    )
    if not golden.messages or golden.messages[-1].role != "user":
        raise ValueError("the last message of a golden prompt is the user's")
    if not golden.any_of and not golden.patterns:
        raise ValueError("a golden prompt has any_of or patterns")
    return golden


def _turn(value: Any) -> Turn:
    _check_fields(value, {"role", "content"})
    if value["role"] not in _ROLES:
        raise ValueError(f"a role is one of {', '.join(_ROLES)}")
    return Turn(value["role"], _text(value["content"], _LONGEST_TEXT_CHARACTERS, "content"))


def _pattern(value: Any) -> str:
    pattern = _text(value, _LONGEST_PATTERN_CHARACTERS, "patterns")
    if _REPEATS.search(pattern):
        raise ValueError("a pattern may not repeat: write it without * + ? and {}")
    re.compile(pattern)
    return pattern


def _check_fields(value: Any, known: set[str]) -> None:
    if not isinstance(value, dict):
        raise TypeError("an object is expected")
    if unknown := sorted(set(value) - known):
        raise ValueError(f"there is no field {str(unknown[0])[:80]!r}; there are {', '.join(sorted(known))}")


def _listed(value: Any, most: int, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise TypeError(f"{what} is a list of at most {most}")
    return value


def _text(value: Any, longest: int, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise TypeError(f"{what} is a text of 1 to {longest} characters")
    return value


def _answer_tokens(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_ANSWER_TOKENS:
        raise ValueError(f"max_tokens is a whole number from 1 to {_MOST_ANSWER_TOKENS}")
    return value


def _number(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{what} is a number from 0")
    return float(value)


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.BUNDLE_INVALID, f"{HEALTH_FILE} cannot be used: {why}. Build the bundle again, or fetch it anew.")
