"""What is reckoned in a question: there, every sign and bracket counts."""

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W\d_]{2}")
_OPERATOR = re.compile(r"[-+*/^=<>()\[\]{}]|\d!")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_formulas(text: str) -> Iterator[str]:
    """Yields each run of signs, numbers and single letters in which something is reckoned: what its brackets hold counts."""
    run = list[str]()
    for chunk in (*text.split(), "end"):
        if not _WORD.search(chunk) and not _DAY.match(chunk):
            run.append(chunk)
            continue
        formula = "".join(run).rstrip(".,;:?")
        if _OPERATOR.search(formula):
            yield formula
        run = []
