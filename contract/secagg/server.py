"""The hub in one round: it collects each stage's messages, closes the stage when its caller says so, and goes on with who has answered.

It trusts no device: a message that is not as it should be is refused, and its sender counts as lost. Below the threshold the round is over;
a sum is given only if every secret that was put together is the one that its owner has committed to.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contract.errors import InvalidRequest, NotPermitted, NotPossibleNow, Reason
from contract.secagg.keys import has_consented
from contract.secagg.masks import ENTRY_BYTES, from_vector
from contract.secagg.messages import Consent, Consents, Delivery, KeyList, Keys, Masked, Plan, Shares, Survivors, Unmasking
from contract.secagg.roster import Roster
from contract.secagg.rules import check_keys, check_vector, short
from contract.secagg.unmask import unmasked
from contract.secagg.wire import Kind, invalid, kind_of

Answer = Keys | Shares | Masked | Consent | Unmasking
"""What a device sends."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What a round came to.

    Args:
        values: the sums, modulo 2^64.
        agents: whose contributions are in it.
    """

    values: tuple[int, ...]
    agents: tuple[str, ...]


class Coordinator:
    """One round, in memory.

    Args:
        plan: what it is to be.
        roster: the signed one; devices have their own copy.

    Raises:
        NotPermitted: COHORT_INVALID, or ROUND_SHORT: nobody is asked.
    """

    def __init__(self, plan: Plan, roster: Roster) -> None:
        if not 1 <= plan.threshold <= len(plan.cohort):
            raise short(len(plan.cohort), max(plan.threshold, 1))
        if any(agent not in roster.members for agent in plan.cohort):
            raise NotPermitted(Reason.COHORT_INVALID, "A device of the cohort is not in the roster: leave it out.")
        self._plan, self._roster, self._round_id = plan, roster, plan.round_id()
        self._expected: Kind | None = Kind.KEYS
        self._asked: tuple[str, ...] = plan.cohort
        self._answers: dict[str, Answer] = {}
        self._key_list: KeyList
        self._shared: tuple[str, ...] = ()
        self._masked: dict[str, bytes] = {}
        self._survivors: Survivors
        self.sum: Sum | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to send or to take."""
        return self._expected is None

    def invitations(self) -> dict[str, bytes]:
        """Returns the first message for each device."""
        return dict.fromkeys(self._asked, self._plan.to_bytes())

    def receive(self, agent: str, content: bytes) -> bool:
        """Takes a device's answer.

        Args:
            agent: who has sent it, as its connection proves.
            content: the message.

        Returns:
            Whether all who were asked have answered.

        Raises:
            SeawallError: it is refused, and does not count: late, twice, of another round, or wrong.
        """
        kind = kind_of(content)
        if kind is not self._expected or agent not in self._asked or agent in self._answers:
            raise NotPossibleNow(Reason.ROUND_OUT_OF_ORDER, "The message is late, comes twice or was not asked for: await the next round.")
        message = _READERS[kind](content)
        if message.round_id != self._round_id:
            raise NotPossibleNow(Reason.ROUND_UNKNOWN, "The message is about another round: answer this one.")
        self._check(agent, message)
        self._answers[agent] = message
        return len(self._answers) == len(self._asked)

    def close_stage(self) -> dict[str, bytes]:
        """Goes on with whoever has answered. Returns the next message for each of them; nothing when the sum is there.

        Raises:
            NotPossibleNow: ROUND_SHORT, fewer than the threshold have answered, or ROUND_OVER.
            InvalidRequest: ROUND_SHARE_INVALID, a device has shared another secret than it has committed to; there is no sum.
        """
        stage, self._expected = self._expected, None
        if stage is None:
            raise NotPossibleNow(Reason.ROUND_OVER, "The round is over: plan the next one.")
        if len(self._answers) < self._plan.threshold:
            raise short(len(self._answers), self._plan.threshold)
        answers, self._answers = dict(sorted(self._answers.items())), {}
        self._asked = tuple(answers)
        messages, self._expected = self._following(stage, answers)
        return messages

    def _check(self, agent: str, message: Answer) -> None:
        match message:
            case Keys():
                if message.agent != agent:
                    raise NotPermitted(Reason.ROUND_KEY_INVALID, "The keys are somebody else's: send this device's own.")
                check_keys(message, self._plan, self._round_id, self._roster)
            case Shares():
                if [name for name, _ in message.items] != [name for name in self._asked if name != agent]:
                    raise invalid("shares are for each other device with keys")
            case Masked():
                check_vector(message.vector, self._plan, ENTRY_BYTES)
            case Consent():
                self._check_consent(agent, message)
            case Unmasking():
                if [name for name, _ in message.items] != sorted((*self._survivors.alive, *self._survivors.dead)):
                    raise invalid("a share of each device that has shared is needed")

    def _check_consent(self, agent: str, consent: Consent) -> None:
        keys = next(keys for keys in self._key_list.keys if keys.agent == agent)
        if not has_consented(keys, consent.signature, self._survivors, self._key_list.digest()):
            raise InvalidRequest(Reason.SURVIVORS_DISPUTED, "The signature is not over these survivors: sign those that were sent.")

    def _following(self, stage: Kind, answers: dict[str, Answer]) -> tuple[dict[str, bytes], Kind | None]:
        match stage:
            case Kind.KEYS:
                return self._list_keys(answers), Kind.SHARES
            case Kind.SHARES:
                return self._deliver(answers), Kind.MASKED
            case Kind.MASKED:
                return self._tell_survivors(answers), Kind.CONSENT
            case Kind.CONSENT:
                return self._pass_consents(answers), Kind.UNMASKING
            case _:
                self._add_up(answers)
                return {}, None

    def _list_keys(self, answers: dict[str, Answer]) -> dict[str, bytes]:
        self._key_list = KeyList(self._round_id, tuple(message for message in answers.values() if isinstance(message, Keys)))
        return dict.fromkeys(answers, self._key_list.to_bytes())

    def _deliver(self, answers: dict[str, Answer]) -> dict[str, bytes]:
        self._shared = tuple(answers)
        sealed = {agent: dict(message.items) for agent, message in answers.items() if isinstance(message, Shares)}
        return {
            agent: Delivery(self._round_id, tuple((sender, sealed[sender][agent]) for sender in answers if sender != agent)).to_bytes()
            for agent in answers
        }

    def _tell_survivors(self, answers: dict[str, Answer]) -> dict[str, bytes]:
        self._masked = {agent: message.vector for agent, message in answers.items() if isinstance(message, Masked)}
        dead = tuple(agent for agent in self._shared if agent not in answers)
        self._survivors = Survivors(self._round_id, tuple(answers), dead)
        return dict.fromkeys(answers, self._survivors.to_bytes())

    def _pass_consents(self, answers: dict[str, Answer]) -> dict[str, bytes]:
        signatures = [(agent, message.signature) for agent, message in answers.items() if isinstance(message, Consent)]
        consents = Consents(self._round_id, tuple(signatures[: self._plan.threshold]))
        return dict.fromkeys(answers, consents.to_bytes())

    def _add_up(self, answers: dict[str, Answer]) -> None:
        shares = {agent: dict(message.items) for agent, message in answers.items() if isinstance(message, Unmasking)}
        total = unmasked(self._plan, self._key_list, self._survivors, self._masked, shares)
        self.sum = Sum(from_vector(total), self._survivors.alive)


_READERS: dict[Kind, Callable[[bytes], Answer]] = {
    Kind.KEYS: Keys.from_bytes,
    Kind.SHARES: Shares.from_bytes,
    Kind.MASKED: Masked.from_bytes,
    Kind.CONSENT: Consent.from_bytes,
    Kind.UNMASKING: Unmasking.from_bytes,
}
