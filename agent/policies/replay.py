"""What another policy would have done with the prompts that were answered here, by their receipts, which hold no word of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.later.prompts import FOLLOWED_UP
from contract.classification import Classification, stored_class
from contract.decision import Decision
from contract.policy import Policy
from contract.surroundings import Surroundings

_WANTED = frozenset({"not-confident", "model-away"})
"""In a receipt's reasons: a better answer was wanted."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the prompts, or would have.

    Args:
        escalations: that left for a provider.
        tokens: of them, in and out. Of a prompt that was answered here, those of the local answer stand for those of a better one.
        denials: that wanted a better answer and were kept here by the policy.
        kept: whose answer might be cached.
    """

    escalations: int = 0
    tokens: int = 0
    denials: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """Prompts of one class and with the same kinds of data, for which the two policies differ in the same way.

    Args:
        before: where they may go under the policy in force, and whether the answer may be kept.
        after: the same, under the other one.
        prompts: how many.
        escalations: more or fewer of them.
        tokens: more or fewer of them.
    """

    data_class: str
    data_kinds: tuple[str, ...]
    before: str
    after: str
    prompts: int
    escalations: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was recorded, what the policy in force decides of it now, and what the other one does."""

    prompts: int
    recorded: Tally
    in_force: Tally
    other: Tally
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """A receipt, as far as it counts here."""

    classification: Classification
    intake: str
    wanted: bool
    escalated: bool
    tokens: int


Decide = Callable[[_Case], Decision]


def replay(receipts: Iterable[Mapping[str, Any]], agent_id: str, around: Surroundings, in_force: Policy, other: Policy) -> Replayed:
    """Decides on recorded prompts again.

    Args:
        receipts: as they are stored.
        agent_id: of this device.
        around: what is known around any prompt now.
        in_force: the policy in force.
        other: the policy that it is held against.
    """
    recorded, cases = [], []
    for receipt in receipts:
        recorded.append(_case(receipt))
        if FOLLOWED_UP not in receipt["reasons"]:  # of a prompt that has a case: its provisional answer's
            cases.append(recorded[-1])

    def by(policy: Policy) -> Decide:
        return lambda case: policy.decide(agent_id, case.classification, replace(around, intake=case.intake))

    return Replayed(
        len(cases),
        _recorded(recorded),
        _tally(cases, by(in_force)),
        _tally(cases, by(other)),
        _changes(cases, by(in_force), by(other)),
    )


def _case(receipt: Mapping[str, Any]) -> _Case:
    """Reads a receipt; those of earlier versions say nothing of tokens and intake. A class that nobody knows is the highest."""
    data_class = stored_class(receipt["data_class"])
    escalated = receipt["route"] == "escalated"
    return _Case(
        Classification(data_class, tuple(receipt["data_kinds"])),
        receipt.get("intake", ""),
        escalated or not _WANTED.isdisjoint(receipt["reasons"]),
        escalated,
        receipt.get("input_tokens", 0) + receipt.get("output_tokens", 0),
    )


def _recorded(cases: Iterable[_Case]) -> Tally:
    escalated = [case for case in cases if case.escalated]
    return Tally(len(escalated), sum(case.tokens for case in escalated))


def _tally(cases: Iterable[_Case], decide: Decide) -> Tally:
    escalations = tokens = denials = kept = 0
    for case in cases:
        decision = decide(case)
        leaves = case.wanted and decision.may_escalate
        escalations += leaves
        tokens += case.tokens * leaves
        denials += case.wanted and not decision.may_escalate
        kept += decision.may_cache
    return Tally(escalations, tokens, denials, kept)


def _changes(cases: Iterable[_Case], before: Decide, after: Decide) -> tuple[Change, ...]:
    prompts: Counter[tuple[str, tuple[str, ...], str, str]] = Counter()
    escalations: Counter[tuple[str, tuple[str, ...], str, str]] = Counter()
    tokens: Counter[tuple[str, tuple[str, ...], str, str]] = Counter()
    for case in cases:
        one, other = before(case), after(case)
        if (one.routes, one.may_cache) == (other.routes, other.may_cache):
            continue
        key = (str(case.classification.data_class), case.classification.kinds, _words(one), _words(other))
        more = case.wanted * (other.may_escalate - one.may_escalate)
        prompts[key] += 1
        escalations[key] += more
        tokens[key] += more * case.tokens
    return tuple(Change(*key, count, escalations[key], tokens[key]) for key, count in prompts.most_common())


def _words(decision: Decision) -> str:
    names = [route.provider.name + (" redacted" if route.redacted else "") for route in decision.routes]
    return f"{', '.join(names) or 'stays'}; {'kept' if decision.may_cache else 'not kept'}"
