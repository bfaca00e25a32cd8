"""A device in one round: each message of the hub's is held against the device's own rules, and answered with one of its own, or refused.

The order is fixed, each stage is passed once, and whatever is refused within a stage ends the round for the device. Its state is in
memory alone: a device that restarts has left the round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import InvalidRequest, NotPermitted, NotPossibleNow, Reason
from contract.secagg.keys import Channel, Secrets, own_mask_key, pair_mask_key, sign_keys, sign_survivors
from contract.secagg.masks import ENTRY_BYTES, VectorSum, mask
from contract.secagg.messages import Consent, Consents, Delivery, KeyList, Keys, Masked, Message, Plan, Shares, Survivors, Unmasking
from contract.secagg.roster import Roster
from contract.secagg.rules import (
    Rules,
    Terms,
    check_consents,
    check_enough,
    check_key_list,
    check_member,
    check_plan,
    check_survivors,
    check_terms,
    check_vector,
)
from contract.secagg.shamir import split
from contract.secagg.wire import Kind, kind_of
from contract.tree_heads import public_der


class Ledger(Protocol):
    """What the device remembers for good of what it has said."""

    def is_spent(self, window: str) -> bool:
        """Says whether a window was spent."""

    def spend(self, window: str, round_id: bytes) -> None:
        """Spends a window, and returns once that survives a power cut. Raises if it was spent, or if the privacy budget does not reach.

        It is spent whatever becomes of the round: a hub that says that a round has failed may have its sum.
        """


@dataclass(frozen=True, slots=True)
class Member:
    """A device as a roster knows it.

    Args:
        agent: its id.
        member_key: the private key by which the roster knows it.
        roster: whose signatures TUF has verified.
        rules: its own.
    """

    agent: str
    member_key: ec.EllipticCurvePrivateKey
    roster: Roster
    rules: Rules


class Participant:
    """One device's part in one round. It holds the round's secrets: whoever made it drops it when it is over.

    Args:
        member: who it is.
        terms: what there is to report.
        ledger: asked first, and spent right before the vector leaves.
        contribute: returns the vector, with noise for this plan; called once, after the window is spent.
        randomness: returns so many bytes that nobody can guess.
    """

    def __init__(
        self, member: Member, terms: Terms, ledger: Ledger, contribute: Callable[[Plan], bytes], randomness: Callable[[int], bytes]
    ) -> None:
        self._member, self._terms, self._ledger = member, terms, ledger
        self._contribute, self._randomness = contribute, randomness
        self._expected: Kind | None = Kind.PLAN
        self._plan: Plan
        self._keys: Keys
        self._secrets: Secrets
        self._key_list: KeyList
        self._channels: dict[str, Channel] = {}
        self._shares: dict[str, tuple[bytes, bytes]] = {}
        """Of every device that has shared, this one too: a share of its own seed, and one of its masking key."""
        self._survivors: Survivors

    @property
    def is_over(self) -> bool:
        """Whether it answers no more."""
        return self._expected is None

    def receive(self, content: bytes) -> bytes:
        """Takes the next message, and returns the answer to it.

        Raises:
            SeawallError: it is refused. Where it was the turn of such a message, the round is over for this device.
        """
        message = self._read(content)
        self._expected = None
        answer, self._expected = self._answer(message)
        return answer.to_bytes()

    def _read(self, content: bytes) -> Message:
        kind = kind_of(content)
        if self._expected is None:
            raise NotPossibleNow(Reason.ROUND_OVER, "The round is over for this device: it takes part in the next window's.")
        if kind is not self._expected:
            raise NotPossibleNow(Reason.ROUND_OUT_OF_ORDER, f"A {self._expected.name} is expected, no {kind.name}: send each once.")
        message = _READERS[kind](content)
        if not isinstance(message, Plan) and message.round_id != self._keys.round_id:
            raise NotPossibleNow(Reason.ROUND_UNKNOWN, "The message is about another round: send what belongs to this one.")
        return message

    def _answer(self, message: Message) -> tuple[Message, Kind | None]:
        match message:
            case Plan():
                return self._advertise(message), Kind.KEY_LIST
            case KeyList():
                return self._share(message), Kind.DELIVERY
            case Delivery():
                return self._mask(message), Kind.SURVIVORS
            case Survivors():
                return self._consent(message), Kind.CONSENTS
            case Consents():
                return self._unmask(message), None
            case _:
                raise AssertionError(message)

    def _advertise(self, plan: Plan) -> Keys:
        member = self._member
        check_plan(plan, member.agent, member.roster, member.rules)
        check_member(member.agent, public_der(member.member_key), member.roster)
        check_terms(plan, self._terms)
        if self._ledger.is_spent(plan.window):
            raise NotPermitted(Reason.WINDOW_SPENT, "This window was contributed once, whatever became of it: report the next one.")
        self._plan, self._secrets = plan, Secrets.make(self._randomness)
        self._keys = sign_keys(self._secrets, plan.round_id(), member.agent, member.member_key)
        return self._keys

    def _share(self, key_list: KeyList) -> Shares:
        check_key_list(key_list, self._keys, self._plan, self._member.roster, self._member.rules)
        self._key_list = key_list
        own, digest = self._member.agent, key_list.digest()
        points = [self._plan.point(keys.agent) for keys in key_list.keys]
        secrets = (self._secrets.own_seed, self._secrets.masking_seed)
        pairs = zip(*(split(secret, self._plan.threshold, points, self._randomness) for secret in secrets), strict=True)
        items = []
        for keys, (own_share, masking_share) in zip(key_list.keys, pairs, strict=True):
            if keys.agent == own:
                self._shares[own] = own_share, masking_share
            else:
                channel = self._channels[keys.agent] = Channel.open(self._secrets, own, keys, digest)
                items.append((keys.agent, channel.seal(own_share, masking_share)))
        return Shares(self._keys.round_id, tuple(items))

    def _mask(self, delivery: Delivery) -> Masked:
        for agent, sealed in delivery.items:
            if agent not in self._channels:
                raise InvalidRequest(Reason.ROUND_SHARE_INVALID, f"{agent} has no keys in this round, so no shares: begin a new round.")
            self._shares[agent] = self._channels[agent].unseal(sealed)
        check_enough(self._shares, self._plan, self._member.rules)
        masks = self._masks()
        self._ledger.spend(self._plan.window, self._keys.round_id)
        vector = self._contribute(self._plan)
        check_vector(vector, self._plan, ENTRY_BYTES)
        masks.add(vector)
        return Masked(self._keys.round_id, masks.total())

    def _masks(self) -> VectorSum:
        """Returns the sum of all masks: its own, and one with each device that has shared, which one adds and the other takes away."""
        own, size_bytes = self._member.agent, self._plan.entries * ENTRY_BYTES
        total = VectorSum(self._plan.entries)
        total.add(mask(own_mask_key(self._keys.round_id, own, self._secrets.own_seed), size_bytes))
        for keys in self._key_list.keys:
            if keys.agent in self._shares and keys.agent != own:
                pair = mask(pair_mask_key(self._secrets.masking_seed, own, keys), size_bytes)
                (total.add if own < keys.agent else total.subtract)(pair)
        return total

    def _consent(self, survivors: Survivors) -> Consent:
        check_survivors(survivors, self._member.agent, self._shares, self._plan, self._member.rules)
        self._survivors = survivors
        return Consent(self._keys.round_id, sign_survivors(self._member.member_key, survivors, self._key_list.digest()))

    def _unmask(self, consents: Consents) -> Unmasking:
        check_consents(consents, self._survivors, self._key_list, self._plan)
        alive = set(self._survivors.alive)
        items = ((agent, own if agent in alive else masking) for agent, (own, masking) in sorted(self._shares.items()))
        return Unmasking(self._keys.round_id, tuple(items))


_READERS: dict[Kind, Callable[[bytes], Message]] = {
    Kind.PLAN: Plan.from_bytes,
    Kind.KEY_LIST: KeyList.from_bytes,
    Kind.DELIVERY: Delivery.from_bytes,
    Kind.SURVIVORS: Survivors.from_bytes,
    Kind.CONSENTS: Consents.from_bytes,
}
