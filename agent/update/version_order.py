"""Which of two versions is the newer one: by their numbers, as people write them."""

import re

_VERSION = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_PART = re.compile(r"\d+|[a-z]+")

_WORD, _END, _NUMBER = 0, 1, 2


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Returns what versions are ordered by: 1.10.0 is newer than 1.9.0, 1.0.0 than 1.0.0-rc2, 1.0.1 than 1.0."""
    parts: list[tuple[int, int, str]] = [
        (_NUMBER, int(part), "") if part.isdigit() else (_WORD, 0, part) for part in _PART.findall(version)
    ]
    return (*parts, (_END, 0, ""))


def newest(versions: tuple[str, ...]) -> str | None:
    """Returns the newest version; None: there is none."""
    return max(
        (version for version in versions if _VERSION.fullmatch(version)), key=lambda version: (version_key(version), version), default=None
    )
