"""The facts that a policy is tried on, as they are written on the command line."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.classify import Classifier
from agent.prompts import Message
from contract.classification import BY_NAME, Classification
from contract.errors import InvalidRequest, Reason
from contract.surroundings import TIERS, Hub, Provider

_UNIT_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Given:
    """What was written of a prompt; what is empty is found out."""

    prompt: str = ""
    data_class: str = ""
    kinds: str = ""


def read_classification(given: Given, classifier: Classifier) -> Classification:
    """Returns the class and the kinds that were named; what was not, the classifier says.

    Raises:
        InvalidRequest: FIELD_INVALID, there is no such class.
    """
    found = classifier.look_now([Message("user", given.prompt)]).classification
    kinds = tuple(sorted({kind.strip() for kind in given.kinds.split(",")} - {""})) if given.kinds else found.kinds
    if not given.data_class:
        return Classification(found.data_class, kinds, found.reasons)
    if given.data_class not in BY_NAME:
        raise _invalid(f"'{given.data_class[:40]}' is no class: write {', '.join(BY_NAME)}")
    return Classification(BY_NAME[given.data_class], kinds)


def read_hub(name: str, text: str, providers: Sequence[str], known: Hub | None) -> Hub | None:
    """Returns the hub that was described, or the one that is known.

    Args:
        name: of the hub, where none is known.
        text: `REGION[,OPERATOR]`.
        providers: each `NAME,TIER[,REGION[,OPERATOR[,RETENTION_DAYS]]]`.
        known: None: none is.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    if not text and not providers:
        return known
    base = known or Hub(name)
    region, _, operator = text.partition(",") if text else (base.region, "", base.operator)
    return Hub(base.name, region, operator, tuple(map(_provider, providers)) if providers else base.providers)


def read_seconds(text: str) -> float:
    """Reads `7d`, `12h` or `30m`.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in _UNIT_SECONDS and len(number) < 7):
        raise _invalid(f"'{text[:40]}' is no span of time: write it as 7d, 12h or 30m")
    return int(number) * _UNIT_SECONDS[unit]


def _provider(text: str) -> Provider:
    written = text.split(",")
    name, tier, region, operator, days = (*written, "", "", "", "", "")[:5]
    if len(written) > 5 or not name or tier not in TIERS:
        raise _invalid(f"'{text[:80]}' is no provider: write NAME,TIER,REGION,OPERATOR,RETENTION_DAYS with a tier of {' or '.join(TIERS)}")
    if days and not (days.isascii() and days.isdigit() and int(days) <= _MOST_DAYS):
        raise _invalid(f"'{days[:20]}' is no number of days from 0 to {_MOST_DAYS}")
    return Provider(name, tier, region, operator, int(days) if days else None)


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"{why}.")
