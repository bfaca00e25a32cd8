"""Which policy is in force. One that cannot be used denies everything, and the agent goes on answering by itself.

the configuration                 what is in force
names neither                     the shipped one
names policy_file                 that file
names signed_policy               the signed one that was taken last; until one was taken, policy_file; without that, nothing is allowed
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agent.config import AgentSettings
from agent.policies.kept import KeptPolicy
from contract.calibration.maps import NO_CALIBRATIONS, Calibrations
from contract.classification import Classification
from contract.decision import Decision, Sharing
from contract.errors import SeawallError
from contract.learning_limits import LearningLimits
from contract.policy import Policy
from contract.surroundings import Surroundings

NOTHING = Policy("")
"""Denies everything but the local answer."""

_NONE_TAKEN = "has not come yet: seawall-agent policy update brings it, and the running agent looks for it by itself."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The policy that is to be in force, and where it comes from.

    Args:
        policy: read and checked.
        text: of it.
        origin: in words.
        name: of a signed one: `policies/{policy}/versions/{version}`; else empty.
        trouble: why it is not the one that was wanted, and what to do; empty: it is.
        recognizers: that came with a signed one; None: none did.
        calibrations: that came with a signed one.
        learning: what a signed one says of the part in learning; None: nothing.
    """

    policy: Policy
    text: str
    origin: str
    name: str = ""
    trouble: str = ""
    recognizers: bytes | None = None
    calibrations: Calibrations = NO_CALIBRATIONS
    learning: LearningLimits | None = None


def choose(settings: AgentSettings, kept: KeptPolicy) -> Chosen:
    """Returns the policy that the settings name.

    Args:
        settings: of the agent.
        kept: the place of the signed one.
    """
    wanted = settings.privacy.signed_policy
    if not wanted:
        return _unsigned(settings)
    try:
        signed = kept.read()
    except SeawallError as error:
        return Chosen(NOTHING, "", f"policies/{wanted}", trouble=error.message)
    if signed is not None and signed.index.model == wanted:
        return Chosen(
            signed.policy,
            signed.text,
            "signed",
            signed.name,
            recognizers=signed.recognizers,
            calibrations=signed.calibrations,
            learning=signed.learning,
        )
    trouble = f"policies/{wanted} {_NONE_TAKEN}"
    if settings.privacy.policy_file is None:
        return Chosen(NOTHING, "", f"policies/{wanted}", trouble=trouble)
    stand_in = _unsigned(settings)
    return Chosen(stand_in.policy, stand_in.text, stand_in.origin, trouble=f"{trouble} {stand_in.trouble}".strip())


def _unsigned(settings: AgentSettings) -> Chosen:
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
        choose: returns what is to be in force now.
    """

    def __init__(self, choose: Callable[[], Chosen]) -> None:
        self._choose = choose
        self._refusal = ""
        self.chosen = choose()
        self.changed: Callable[[Chosen], None] = lambda _: None
        """Told of what is in force, whenever it is another one."""
        self._say()

    @property
    def digest(self) -> str:
        """Of the policy in force."""
        return self.chosen.policy.digest

    @property
    def trouble(self) -> str:
        """Why it is not the one that is wanted, and what to do; empty: nothing is wrong."""
        return " ".join(filter(None, (self.chosen.trouble, self._refusal)))

    def decide(self, agent_id: str, classification: Classification, surroundings: Surroundings) -> Decision:
        """See `contract.policy.Policy.decide`."""
        return self.chosen.policy.decide(agent_id, classification, surroundings)

    def share(self, agent_id: str, classification: Classification, surroundings: Surroundings) -> Sharing:
        """See `contract.policy.Policy.share`."""
        return self.chosen.policy.share(agent_id, classification, surroundings)

    def refuse(self, why: str) -> None:
        """Notes why a newer one was not taken; empty: none is refused."""
        if why and why != self._refusal:
            _log.error("a policy is refused, the one in force stays", advice=why)
        self._refusal = why

    def refresh(self) -> None:
        """Puts in force what is to be, from the next prompt on."""
        before, self.chosen = self.chosen, self._choose()
        if (before.policy.digest, before.name, before.trouble) != (self.digest, self.chosen.name, self.chosen.trouble):
            self._say()
            self.changed(self.chosen)

    def _say(self) -> None:
        _log.info("policy in force", policy=self.chosen.name or self.chosen.origin, digest=self.digest)
        if self.chosen.trouble:
            _log.error("this is not the policy that is wanted", advice=self.chosen.trouble)
