"""The hub decides again where a prompt may go: by its own policy, and by what its operator says of the agent.

What it cannot know itself, the agent tells, as its own policy was told: class and kinds of the data, the intake, time and tokens left.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Protocol

import structlog

from contract.classification import Classification
from contract.errors import InvalidRequest, NotPermitted, Reason
from contract.policy import Policy
from contract.surroundings import Hub, Surroundings
from hub.config import Settings
from hub.escalation.prompts import Escalation

SITE_LABEL, REGION_LABEL = "site", "region"
"""Of an agent: where it stands, as the operator knows it. An agent without them stands nowhere that is known."""

_log = structlog.get_logger(__name__)


class Labelled(Protocol):
    """What is needed of an agent's record."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Chosen by operators."""
        ...


class Agents(Protocol):
    """What is needed of `hub.fleet.directory.Directory`."""

    async def get(self, agent_id: str) -> Labelled:
        """Returns one agent."""
        ...


class Ruling:
    """Takes away, of what an agent's policy allows, what this hub's does not.

    Args:
        policy: of this hub.
        hub: this one.
        agents: with their labels.
    """

    def __init__(self, policy: Policy, hub: Hub, agents: Agents) -> None:
        self._policy = policy
        self._hub = hub
        self._agents = agents

    async def rule(self, escalation: Escalation) -> Escalation:
        """Returns the escalation with the providers that both allow.

        Raises:
            NotPermitted: POLICY_DENIED, there are none, though the agent's own policy allows some.
            NotFound: AGENT_NOT_FOUND.
            Unavailable: HUB_UNAVAILABLE, who asks cannot be looked up.
        """
        labels = (await self._agents.get(escalation.agent_id)).labels
        surroundings = Surroundings(
            labels.get(SITE_LABEL, ""),
            labels.get(REGION_LABEL, ""),
            escalation.intake,
            self._hub,
            latency_milliseconds=escalation.latency_milliseconds,
            budget_tokens=escalation.budget_tokens,
        )
        classification = Classification(escalation.data_class, escalation.data_kinds)
        decision = self._policy.leave(escalation.agent_id, classification, surroundings, escalation.redacted)
        allowed = frozenset(route.provider for route in decision.routes) & escalation.allowed
        if not allowed and not escalation.allowed.isdisjoint(self._hub.providers):
            _log.warning("escalation denied", request_id=escalation.request_id, agent=escalation.agent_id, policies=decision.policy_ids)
            raise NotPermitted(Reason.POLICY_DENIED, _denied(decision.policy_ids))
        return replace(escalation, allowed=allowed)


def load_policy(settings: Settings) -> Policy:
    """Returns this hub's policy.

    Raises:
        InvalidRequest: POLICY_INVALID, the file cannot be read, or is none.
    """
    if settings.policy_file is None:
        return Policy(resources.files("contract").joinpath("default.cedar").read_text("utf-8"))
    try:
        return Policy(settings.policy_file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(Reason.POLICY_INVALID, f"The policy file {settings.policy_file} cannot be read: {error}.") from error


def _denied(policy_ids: tuple[str, ...]) -> str:
    why = ", ".join(policy_ids)[:300]
    return f"The hub's policy lets this prompt go to no provider ({why}). Keep the local answer, or ask the hub's operator."
