"""Which policy is in force. One that cannot be used denies everything, and the agent goes on answering by itself."""

from dataclasses import dataclass

from agent.config import AgentSettings
from contract.classification import Classification
from contract.decision import Decision
from contract.errors import SeawallError
from contract.policy import Policy
from contract.surroundings import Surroundings

NOTHING = Policy("")
"""Denies everything but the local answer."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The policy that is to be in force, and where it comes from.

    Args:
        policy: read and checked.
        text: of it.
        origin: in words.
        name: of a signed one: `policies/{policy}/versions/{version}`; else empty.
        trouble: why it is not the one that was wanted, and what to do; empty: it is.
    """

    policy: Policy
    text: str
    origin: str
    name: str = ""
    trouble: str = ""


def choose(settings: AgentSettings) -> Chosen:
    """Returns the policy that the settings name."""
    file = settings.privacy.policy_file
    origin = "shipped" if file is None else str(file)
    try:
        text = settings.policy_text()
        return Chosen(Policy(text), text, origin)
    except SeawallError as error:
        return Chosen(NOTHING, "", origin, trouble=error.message)


class PolicyInForce:
    """Decides by the policy in force, which may be exchanged between two prompts.

    Args:
        chosen: the first one.
    """

    def __init__(self, chosen: Chosen) -> None:
        self.chosen = chosen

    @property
    def digest(self) -> str:
        """Of the policy in force."""
        return self.chosen.policy.digest

    def decide(self, agent_id: str, classification: Classification, surroundings: Surroundings) -> Decision:
        """See `contract.policy.Policy.decide`."""
        return self.chosen.policy.decide(agent_id, classification, surroundings)
