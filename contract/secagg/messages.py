"""The messages of a round. Each is read strictly: what is not exactly one, in its only form, is refused.

All but the plan begin with the round's id, which is the hash of the plan: it stands for the window, the schema, the cohort, the threshold
and the roster.
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Self

from contract.secagg.shamir import SHARE_BYTES
from contract.secagg.wire import Kind, exactly, invalid, name, names, number, pack, unpack

HASH_BYTES = 32
X25519_BYTES = 32
SEALED_BYTES = 2 * SHARE_BYTES + 16
"""Two shares and GCM's tag."""
MOST_MEMBER_KEY_BYTES = 200
MOST_SIGNATURE_BYTES = 120
"""ECDSA on P-384 in DER has 104 at most."""
MOST_WINDOW_BYTES = 64

_ROUND_CONTEXT = b"seawall-secagg-round-v1\0"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round is to be. The hub's wish: a device holds it against its own rules.

    Args:
        nonce: 32 bytes, so that no two rounds have one id.
        window: the span of time that is reported, as the schema writes it.
        schema: SHA-256 of what each entry means.
        entries: of the vector.
        scale_bits: an entry is a number times 2^scale_bits.
        threshold: how many have to stay to the end.
        roster_version: of the roster.
        roster_digest: of the roster.
        cohort: who is asked, sorted.
    """

    nonce: bytes
    window: str
    schema: bytes
    entries: int
    scale_bits: int
    threshold: int
    roster_version: int
    roster_digest: bytes
    cohort: tuple[str, ...]

    def round_id(self) -> bytes:
        """Returns the hash of all of it."""
        return hashlib.sha256(_ROUND_CONTEXT + self.to_bytes()).digest()

    def point(self, agent: str) -> int:
        """Returns where an agent's shares lie: its place in the cohort, from 1."""
        return self.cohort.index(agent) + 1

    def to_bytes(self) -> bytes:
        """Returns the message."""
        whole = (self.entries.to_bytes(4, "big"), bytes([self.scale_bits, self.threshold]), self.roster_version.to_bytes(8, "big"))
        fields = (self.nonce, self.window.encode(), self.schema, *whole, self.roster_digest, *(agent.encode() for agent in self.cohort))
        return pack(Kind.PLAN, fields)

    @classmethod
    def from_bytes(cls, content: bytes) -> "Plan":
        """Reads it."""
        nonce, window, schema, entries, small, version, digest, *cohort = unpack(content, Kind.PLAN, 7)
        scale_bits, threshold = exactly(small, 2)
        return cls(
            exactly(nonce, HASH_BYTES),
            _window(window),
            exactly(schema, HASH_BYTES),
            number(entries, 4),
            scale_bits,
            threshold,
            number(version, 8),
            exactly(digest, HASH_BYTES),
            names(cohort),
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """A device's keys for one round.

    Args:
        round_id: of the round.
        agent: whose.
        member_key: SubjectPublicKeyInfo in DER of the key that the roster has the hash of.
        encryption_key: X25519; shares are sealed under what two of these agree on.
        masking_key: X25519; two devices' mask is made from what two of these agree on.
        commitment: to the seed of the device's own mask.
        signature: ECDSA with the member key, DER.
    """

    round_id: bytes
    agent: str
    member_key: bytes
    encryption_key: bytes
    masking_key: bytes
    commitment: bytes
    signature: bytes

    def signed_fields(self) -> tuple[bytes, ...]:
        """Returns all that is signed."""
        return self.round_id, self.agent.encode(), self.member_key, self.encryption_key, self.masking_key, self.commitment

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return pack(Kind.KEYS, (*self.signed_fields(), self.signature))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Keys":
        """Reads it."""
        round_id, agent, member_key, encryption, masking, commitment, signature, *more = unpack(content, Kind.KEYS, 7)
        if more:
            raise invalid("it has too many fields")
        return cls(
            exactly(round_id, HASH_BYTES),
            name(agent),
            _at_most(member_key, MOST_MEMBER_KEY_BYTES),
            exactly(encryption, X25519_BYTES),
            exactly(masking, X25519_BYTES),
            exactly(commitment, HASH_BYTES),
            _at_most(signature, MOST_SIGNATURE_BYTES),
        )


@dataclass(frozen=True, slots=True)
class KeyList:
    """The keys of all who have answered, sorted by name."""

    round_id: bytes
    keys: tuple[Keys, ...]

    def digest(self) -> bytes:
        """Returns the hash of the message: what is sealed, masked or signed later holds for these keys alone."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return pack(Kind.KEY_LIST, (self.round_id, *(keys.to_bytes() for keys in self.keys)))

    @classmethod
    def from_bytes(cls, content: bytes) -> "KeyList":
        """Reads it."""
        round_id, *lists = unpack(content, Kind.KEY_LIST, 1)
        keys = tuple(Keys.from_bytes(item) for item in lists)
        names([item.agent.encode() for item in keys])
        return cls(exactly(round_id, HASH_BYTES), keys)


@dataclass(frozen=True, slots=True)
class ForEach:
    """Some bytes for each of some agents, sorted by name. What kind of message it is, its class says."""

    round_id: bytes
    items: tuple[tuple[str, bytes], ...]

    kind: ClassVar[Kind]
    least_bytes: ClassVar[int]
    most_bytes: ClassVar[int]

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return pack(self.kind, (self.round_id, *(field for agent, item in self.items for field in (agent.encode(), item))))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads it."""
        round_id, *fields = unpack(content, cls.kind, 1)
        agents, items = names(fields[::2]), fields[1::2]
        if len(agents) != len(items) or any(not cls.least_bytes <= len(item) <= cls.most_bytes for item in items):
            raise invalid("an item is missing, too short or too long")
        return cls(exactly(round_id, HASH_BYTES), tuple(zip(agents, items, strict=True)))


class Shares(ForEach):
    """From a device: its sealed shares, by who they are for."""

    kind = Kind.SHARES
    least_bytes = most_bytes = SEALED_BYTES


class Delivery(ForEach):
    """To a device: the sealed shares for it, by who they are from."""

    kind = Kind.DELIVERY
    least_bytes = most_bytes = SEALED_BYTES


class Consents(ForEach):
    """To a device: signatures over the survivors, by who has signed."""

    kind = Kind.CONSENTS
    least_bytes, most_bytes = 1, MOST_SIGNATURE_BYTES


class Unmasking(ForEach):
    """From a device: a share of every one that has shared: of the seed of who is alive, of the masking key of who is dead."""

    kind = Kind.UNMASKING
    least_bytes = most_bytes = SHARE_BYTES


@dataclass(frozen=True, slots=True)
class Masked:
    """From a device: its vector, masked."""

    round_id: bytes
    vector: bytes

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return pack(Kind.MASKED, (self.round_id, self.vector))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Masked":
        """Reads it. How long the vector has to be, the plan says."""
        return cls(*_two(content, Kind.MASKED))


@dataclass(frozen=True, slots=True)
class Survivors:
    """Whose vector has come, and whose has not, of those who shared; each sorted by name."""

    round_id: bytes
    alive: tuple[str, ...]
    dead: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return pack(Kind.SURVIVORS, (self.round_id, ",".join(self.alive).encode(), ",".join(self.dead).encode()))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Survivors":
        """Reads it."""
        round_id, alive, dead, *more = unpack(content, Kind.SURVIVORS, 3)
        if more:
            raise invalid("it has too many fields")
        return cls(exactly(round_id, HASH_BYTES), *(names(field.split(b",") if field else []) for field in (alive, dead)))


@dataclass(frozen=True, slots=True)
class Consent:
    """From a device: its signature over the survivors."""

    round_id: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return pack(Kind.CONSENT, (self.round_id, self.signature))

    @classmethod
    def from_bytes(cls, content: bytes) -> "Consent":
        """Reads it."""
        round_id, signature = _two(content, Kind.CONSENT)
        return cls(round_id, _at_most(signature, MOST_SIGNATURE_BYTES))


Message = Plan | Keys | KeyList | Shares | Delivery | Masked | Survivors | Consent | Consents | Unmasking


def _two(content: bytes, kind: Kind) -> tuple[bytes, bytes]:
    round_id, field, *more = unpack(content, kind, 2)
    if more:
        raise invalid("it has too many fields")
    return exactly(round_id, HASH_BYTES), field


def _at_most(field: bytes, most_bytes: int) -> bytes:
    if not 1 <= len(field) <= most_bytes:
        raise invalid(f"a field of 1 to {most_bytes} bytes has {len(field)}")
    return field


def _window(field: bytes) -> str:
    text = _at_most(field, MOST_WINDOW_BYTES).decode("ascii", "replace")
    if not text.isascii() or not text.isprintable():
        raise invalid("a window is printable ASCII")
    return text
