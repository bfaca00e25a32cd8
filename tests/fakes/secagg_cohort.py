"""A cohort of devices in one process, and an honest hub's round over it, in which devices are lost where the test says so."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import NotPermitted, Reason, SeawallError
from contract.identity import key_hash
from contract.secagg.client import Ledger, Member, Participant
from contract.secagg.masks import to_vector
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import Rules, Terms, least_threshold
from contract.secagg.server import Coordinator, Sum
from contract.secagg.wire import Kind
from contract.tree_heads import public_der

STAGES = (Kind.KEYS, Kind.SHARES, Kind.MASKED, Kind.CONSENT, Kind.UNMASKING)
"""What a device sends, in order."""


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    """Something is refused within, for this reason."""
    with pytest.raises(SeawallError) as caught:
        yield
    assert caught.value.reason is reason


@cache
def member_key(_agent: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class MemoryLedger:
    """Spends in memory, and says in what order things were done."""

    def __init__(self) -> None:
        self.rounds: dict[str, bytes] = {}

    def is_spent(self, window: str) -> bool:
        return window in self.rounds

    def spend(self, window: str, round_id: bytes) -> None:
        if window in self.rounds:
            raise NotPermitted(Reason.WINDOW_SPENT, "Spent.")
        self.rounds[window] = round_id


class Cohort:
    """Devices with vectors of their own, whose ledgers outlive their rounds."""

    def __init__(self, size: int, entries: int = 3, smallest: int | None = None, seed: int = 1, window: str = "2026-W48") -> None:
        self.random = Random(seed)
        self.bits_drawn = set[int]()
        self.agents = tuple(sorted(f"agent-{number}" for number in range(size)))
        self.roster = Roster(7, {agent: key_hash(public_der(member_key(agent))) for agent in self.agents})
        self.rules = Rules(least_threshold(size) if smallest is None else smallest, 7)
        self.terms = Terms(window, self.random.randbytes(32), entries, 0)
        self.values = {agent: [self.random.getrandbits(64) for _ in range(entries)] for agent in self.agents}
        self.ledgers = {agent: MemoryLedger() for agent in self.agents}

    def randomness(self, size_bytes: int) -> bytes:
        self.bits_drawn.add(8 * size_bytes)
        return self.random.randbytes(size_bytes)

    def plan(self) -> Plan:
        terms, roster = self.terms, self.roster
        return Plan(
            self.randomness(32),
            terms.window,
            terms.schema,
            terms.entries,
            terms.scale_bits,
            least_threshold(len(self.agents)),
            roster.version,
            roster.digest,
            self.agents,
        )

    def participant(self, agent: str, contribute: Callable[[Plan], bytes] | None = None, ledger: Ledger | None = None) -> Participant:
        member = Member(agent, member_key(agent), self.roster, self.rules)
        vector = contribute or (lambda _: to_vector(self.values[agent]))
        return Participant(member, self.terms, ledger or self.ledgers[agent], vector, self.randomness)

    def participants(self) -> dict[str, Participant]:
        return {agent: self.participant(agent) for agent in self.agents}

    def sum_of(self, agents: Collection[str]) -> tuple[int, ...]:
        return tuple(sum(column) % 2**64 for column in zip(*(self.values[agent] for agent in agents), strict=True))

    def run(self, lost: Mapping[str, Kind], plan: Plan | None = None) -> Sum:
        """Returns an honest hub's sum; each device named is lost before it sends that."""
        coordinator, devices = Coordinator(plan or self.plan(), self.roster), self.participants()
        messages = coordinator.invitations()
        for stage in STAGES:
            for agent, message in messages.items():
                if agent in devices and lost.get(agent) is stage:
                    del devices[agent]
                if agent in devices:
                    coordinator.receive(agent, devices[agent].receive(message))
            messages = coordinator.close_stage()
        assert coordinator.sum is not None
        return coordinator.sum
