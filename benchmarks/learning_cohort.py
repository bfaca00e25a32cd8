"""A cohort of devices and its hub in one process; the processor time of each side is counted for itself."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from statistics import median
from time import process_time
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from contract.identity import key_hash
from contract.privacy_noise import Noise
from contract.secagg.client import Member, Participant
from contract.secagg.masks import VectorSum, from_vector
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import Rules, Terms, fewest_honest, least_threshold
from contract.secagg.server import Coordinator
from contract.secagg.wire import Kind, kind_of
from contract.tree_heads import public_der

T = TypeVar("T")

ENTRIES = 1024
WINDOW, SCHEMA = "2026-W48", bytes(32)
NORM, VARIANCE = 10_000, Fraction(10**8)


@cache
def member_key(_agent: str) -> ec.EllipticCurvePrivateKey:
    """Returns a device's key, made once: it is no part of a round."""
    return ec.generate_private_key(ec.SECP256R1())


class Memory:
    """A ledger that costs nothing: what a disk takes to sync is no part of the figures."""

    def is_spent(self, _window: str) -> bool:
        """Says no."""
        return False

    def spend(self, window: str, round_id: bytes) -> None:
        """Does nothing."""


@dataclass
class Costs:
    """What a round has cost.

    Args:
        device_seconds: of each device that stayed to the end.
        noise_seconds: of these, for the noise.
        hub_seconds: all stages together.
        device_bytes: sent and received, of each device that stayed.
        is_exact: whether the sum was that of the survivors' vectors.
    """

    device_seconds: dict[str, float] = field(default_factory=dict)
    noise_seconds: dict[str, float] = field(default_factory=dict)
    hub_seconds: float = 0.0
    device_bytes: dict[str, int] = field(default_factory=dict)
    is_exact: bool = False

    @property
    def device_milliseconds(self) -> float:
        """The median."""
        return 1e3 * median(self.device_seconds.values())


class SimulatedRound:
    """One round.

    Args:
        size: of the cohort.
        lost: how many of its devices are lost after they have shared.
    """

    def __init__(self, size: int, lost: int = 0) -> None:
        self._agents = tuple(f"agent-{number:02}" for number in range(size))
        self._lost = set(self._agents[:lost])
        self._roster = Roster(1, {agent: key_hash(public_der(member_key(agent))) for agent in self._agents})
        threshold = least_threshold(size)
        self._plan = Plan(os.urandom(32), WINDOW, SCHEMA, ENTRIES, 0, threshold, 1, self._roster.digest, self._agents)
        self._vectors: dict[str, bytes] = {}
        self._costs = Costs()

    def run(self) -> Costs:
        """Plays it."""
        devices = {agent: self._participant(agent) for agent in self._agents}
        coordinator = self._on_hub(lambda: Coordinator(self._plan, self._roster))
        messages = self._on_hub(coordinator.invitations)
        while messages:
            answers = {
                agent: self._on_device(agent, devices[agent], message)
                for agent, message in messages.items()
                if self._is_here(agent, message)
            }
            messages = self._on_hub(lambda taken=answers: self._next(coordinator, taken))  # type: ignore[misc]
        assert coordinator.sum is not None
        alive = coordinator.sum.agents
        self._costs.device_seconds = {agent: self._costs.device_seconds[agent] for agent in alive}
        self._costs.device_bytes = {agent: self._costs.device_bytes[agent] for agent in alive}
        columns = zip(*(from_vector(self._vectors[agent]) for agent in alive), strict=True)
        self._costs.is_exact = coordinator.sum.values == tuple(sum(column) % 2**64 for column in columns)
        return self._costs

    def _participant(self, agent: str) -> Participant:
        member = Member(agent, member_key(agent), self._roster, Rules(smallest_cohort=1))
        return Participant(member, Terms(WINDOW, SCHEMA, ENTRIES, 0), Memory(), lambda plan: self._contribution(agent, plan), os.urandom)

    def _contribution(self, agent: str, plan: Plan) -> bytes:
        values = list(range(ENTRIES))
        begin = process_time()
        vector = Noise(NORM, VARIANCE, fewest_honest(plan)).contribution(values, secrets.randbits)
        self._costs.noise_seconds[agent] = process_time() - begin
        self._vectors[agent] = vector
        return vector

    def _is_here(self, agent: str, message: bytes) -> bool:
        return agent not in self._lost or kind_of(message) in (Kind.PLAN, Kind.KEY_LIST)

    def _on_device(self, agent: str, device: Participant, message: bytes) -> bytes:
        begin = process_time()
        answer = device.receive(message)
        self._costs.device_seconds[agent] = self._costs.device_seconds.get(agent, 0.0) + process_time() - begin
        self._costs.device_bytes[agent] = self._costs.device_bytes.get(agent, 0) + len(message) + len(answer)
        return answer

    def _on_hub(self, work: Callable[[], T]) -> T:
        begin = process_time()
        result = work()
        self._costs.hub_seconds += process_time() - begin
        return result

    @staticmethod
    def _next(coordinator: Coordinator, answers: dict[str, bytes]) -> dict[str, bytes]:
        for agent, answer in answers.items():
            coordinator.receive(agent, answer)
        return coordinator.close_stage()


def plain_seconds(size: int) -> float:
    """Returns what it costs a hub to add up so many vectors that it can read."""
    vectors = [os.urandom(8 * ENTRIES) for _ in range(size)]
    begin = process_time()
    total = VectorSum(ENTRIES)
    for vector in vectors:
        total.add(vector)
    from_vector(total.total())
    return process_time() - begin
