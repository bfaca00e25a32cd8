"""What may be done with a prompt: Cedar policies, checked against a schema and read once, asked often.

The rules of a decision, all of them failing closed:
    1. answering locally is always allowed, and is no action here;
    2. what no policy permits is denied, and a `forbid` beats every `permit` (Cedar's own semantics);
    3. a policy that fails while it is evaluated denies the whole action, whatever the other policies say;
    4. a prompt leaves only where both the hub may be passed and the provider may be asked;
    5. it is asked first for the prompt as it is, and for the redacted one only where no way is open to that;
    6. providers are asked of only where the hub may be passed, and a receipt's sharing only when there is a receipt.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import cedarpy

from contract.classification import Classification
from contract.decision import DEFAULT_DENY, HUB_UNKNOWN, POLICY_FAILED, Decision, Route, Sharing, Verdict
from contract.policy_facts import READS, Ask, context_of, entities_of, request
from contract.policy_text import SCHEMA, check_policies
from contract.surroundings import TIERS, Hub, Surroundings

_MOST_REMEMBERED = 1024
"""Decisions. A site's prompts differ in few facts, so that nearly all were decided before; then they are all forgotten."""

_CACHE, _RECORD, _LEARN = ("cache", "Cache", "answers"), ("record", "Receipts", "receipts"), ("learn", "Usage", "counts")

_NOWHERE = Surroundings()

_T = TypeVar("_T")


class _Case(NamedTuple):
    """All that can change a decision, besides the hub. Two prompts that differ in nothing of it are decided on alike."""

    agent_id: str
    can_redact: bool
    facts: tuple[Any, ...]


class _Asking(NamedTuple):
    """What is the same in all that is asked of a case: the facts are written down once."""

    agent_id: str
    redacted: bool
    context: str


class Policy:
    """A policy in force.

    Args:
        text: Cedar policies; each must carry an `@id` of its own.

    Raises:
        InvalidRequest: POLICY_INVALID, with Cedar's own words of what is wrong.
    """

    def __init__(self, text: str) -> None:
        checked = check_policies(text)
        self._names = checked.names
        self._facts = tuple(name for name in READS if name in checked.facts)
        self._reads = tuple(READS[name] for name in self._facts)
        self._policies = cedarpy.PolicySet.from_str(text)
        self._hub: Hub | None = None
        self._entities: cedarpy.Entities | None = None
        self._decided: dict[_Case, Decision] = {}
        self._shared: dict[_Case, Sharing] = {}
        self.digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def decide(self, agent_id: str, classification: Classification, surroundings: Surroundings = _NOWHERE) -> Decision:
        """Decides what may be done with a prompt.

        Args:
            agent_id: who asks.
            classification: what is known of the prompt's data.
            surroundings: what is known around it; without a hub, nothing may leave.
        """
        case = self._case(agent_id, classification, surroundings)
        decision = self._decided.get(case)
        return _remember(self._decided, case, self._decide(case)) if decision is None else decision

    def share(self, agent_id: str, classification: Classification, surroundings: Surroundings = _NOWHERE) -> Sharing:
        """Decides what may be done with a prompt's receipt. See `decide`."""
        case = self._case(agent_id, classification, surroundings)
        sharing = self._shared.get(case)
        return _remember(self._shared, case, self._share(case)) if sharing is None else sharing

    def leave(self, agent_id: str, classification: Classification, surroundings: Surroundings, redacted: bool) -> Decision:
        """Decides where a prompt that is to leave may go, and nothing else.

        Args:
            agent_id: who asks.
            classification: what is known of the prompt's data.
            surroundings: with the hub.
            redacted: whether it is.
        """
        verdicts = self._way_out(self._asking(self._case(agent_id, classification, surroundings), redacted))
        return Decision(False, self._routes(verdicts), self._ids(verdicts))

    def explain(self, agent_id: str, classification: Classification, surroundings: Surroundings = _NOWHERE) -> tuple[Verdict, ...]:
        """Returns what is decided of each action: at home, then on the way out, as it is and redacted. See `decide`."""
        case, hub = self._case(agent_id, classification, surroundings), surroundings.hub
        ways = () if hub is None else (_pass(hub), *_escalate(hub))
        plain = self._ask(self._asking(case, False), (_CACHE, _RECORD, _LEARN, *ways))
        return (*plain, *self._ask(self._asking(case, True), ways))

    def _case(self, agent_id: str, classification: Classification, surroundings: Surroundings) -> _Case:
        if surroundings.hub is not self._hub and surroundings.hub != self._hub:
            self._hub, self._entities = surroundings.hub, None
            self._decided.clear()
            self._shared.clear()
        return _Case(agent_id, surroundings.can_redact, tuple([read(classification, surroundings) for read in self._reads]))

    def _asking(self, case: _Case, redacted: bool) -> _Asking:
        return _Asking(case.agent_id, redacted, context_of(self._facts, case.facts, redacted))

    def _decide(self, case: _Case) -> Decision:
        cache, *verdicts = self._way_out(self._asking(case, False), _CACHE)
        routes = self._routes(verdicts)
        if case.can_redact and not routes:
            redacted = self._way_out(self._asking(case, True))
            verdicts, routes = verdicts + redacted, self._routes(redacted)
        return Decision(cache.allowed, routes, self._ids([cache, *verdicts]))

    def _share(self, case: _Case) -> Sharing:
        return Sharing(*self._ask(self._asking(case, False), (_RECORD, _LEARN)))

    def _way_out(self, asking: _Asking, *besides: Ask) -> list[Verdict]:
        """Asks of the hub, and only where that may be passed, of the providers behind it."""
        if self._hub is None:
            return self._ask(asking, besides)
        verdicts = self._ask(asking, (*besides, _pass(self._hub)))
        return verdicts + self._ask(asking, _escalate(self._hub)) if verdicts[-1].allowed else verdicts

    def _routes(self, verdicts: Sequence[Verdict]) -> tuple[Route, ...]:
        """Returns the ways that are open: behind the hub's verdict stand those of its providers, where they were asked of at all."""
        if self._hub is None or len(verdicts) < 2:
            return ()
        pairs = zip(self._hub.providers, verdicts[1:], strict=True)
        return tuple([Route(provider, verdict.redacted) for provider, verdict in pairs if verdict.allowed])

    def _ask(self, asking: _Asking, asked: Sequence[Ask]) -> list[Verdict]:
        agent_id, redacted, context = asking
        try:
            if self._entities is None:
                self._entities = entities_of(self._hub)
            results = cedarpy.is_authorized_batch([request(agent_id, ask, context) for ask in asked], self._policies, self._entities)
        except ValueError as error:  # a fact that Cedar cannot hold
            return [Verdict(action, name, redacted, False, (POLICY_FAILED,), (str(error),)) for action, _, name in asked]
        return [self._verdict(ask, result, redacted) for ask, result in zip(asked, results, strict=True)]

    def _verdict(self, ask: Ask, result: cedarpy.AuthzResult, redacted: bool) -> Verdict:
        action, kind, name = ask
        resource = name if kind in ("Hub", "Provider") else ""
        diagnostics = result.diagnostics
        if diagnostics.errors:
            return Verdict(action, resource, redacted, False, (POLICY_FAILED,), tuple(map(self._named, diagnostics.errors)))
        spoke = tuple(diagnostics.id_annotations_by_reason.values()) or (DEFAULT_DENY,)
        return Verdict(action, resource, redacted, bool(result.allowed), spoke)

    def _named(self, error: str) -> str:
        """Cedar's words, with the policy's own id for the name that Cedar gave it."""
        for own, name in self._names.items():
            error = error.replace(f"`{own}`", f"`{name}`")
        return error

    def _ids(self, verdicts: Iterable[Verdict]) -> tuple[str, ...]:
        unknown = (HUB_UNKNOWN,) if self._hub is None else ()
        return tuple(sorted({*unknown}.union(*[verdict.policy_ids for verdict in verdicts])))


def _remember(memory: dict[_Case, _T], case: _Case, value: _T) -> _T:
    if len(memory) >= _MOST_REMEMBERED:
        memory.clear()
    memory[case] = value
    return value


def _pass(hub: Hub) -> Ask:
    return ("pass", "Hub", hub.name)


def _escalate(hub: Hub) -> list[Ask]:
    return [("escalate", "Provider", provider.name) for provider in hub.providers]


__all__ = ["SCHEMA", "TIERS", "Decision", "Policy", "Route", "Sharing", "Verdict"]
