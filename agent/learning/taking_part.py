"""Takes part in a round when the hub says so, one at a time, and where this device's owner has turned it on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from agent.identity.enrollment import split_address
from agent.learning.carrier import Answer, Target, carry
from agent.learning.flower_place import HERE, FlowerPlace
from agent.service import give_memory_back
from agent.store.commands import CommandEntry
from contract.carrying import LONGEST_ROUND_SECONDS
from contract.errors import Busy, InvalidRequest, NotPermitted, NotPossibleNow, Reason, SeawallError
from seawall.hub.v1.command_pb2 import LearningRound

_log = structlog.get_logger(__name__)

Carrying = Callable[[Target, Answer, float], Awaitable[None]]
"""Carries one round: where it is, what answers its messages, and after how many seconds it is over."""


@dataclass(frozen=True, slots=True)
class _Round:
    """One that was taken.

    Args:
        round_id: names it in the log.
        target: where it is.
        answer: what answers its messages.
        deadline_seconds: after which it is over.
    """

    round_id: str
    target: Target
    answer: Answer
    deadline_seconds: float


class TakingPart:
    """Takes rounds, and carries each in a child process.

    Args:
        is_enabled: says whether this device's owner and the signed policy let it take part now.
        hub_address: returns `host:port` of the hub, which may move; rounds are at the same host.
        answering: returns what answers one round's messages, made for it.
        carrying: carries one round.
        flower: where Flower is, or would be.
        tidying: gives back, after a round, the memory that it has needed; it blocks.
    """

    def __init__(
        self,
        is_enabled: Callable[[], bool],
        hub_address: Callable[[], str],
        answering: Callable[[], Answer],
        carrying: Carrying = carry,
        flower: FlowerPlace = HERE,
        tidying: Callable[[], None] = give_memory_back,
    ) -> None:
        self.is_enabled = is_enabled
        self._hub_address = hub_address
        self._answering = answering
        self._carrying = carrying
        self._flower = flower
        self._tidying = tidying
        self._taken: asyncio.Queue[_Round] = asyncio.Queue(1)
        self._is_busy = False
        self._last = "none yet"

    @property
    def state(self) -> str:
        """What status and /healthz show of it."""
        if not self.is_enabled():
            return "off"
        if not self._flower.is_there():
            return f"not installed: {self._flower.how_to_install}"
        return "in a round" if self._is_busy else f"waiting, last round: {self._last}"

    async def take(self, entry: CommandEntry) -> str:
        """Takes a round that the hub tells of. Returns the public key of the node that will come, PEM.

        Raises:
            NotPermitted: LEARNING_OFF.
            NotPossibleNow: LEARNING_UNAVAILABLE, Flower is not installed.
            Busy: LEARNING_BUSY, another round is under way.
            InvalidRequest: FIELD_INVALID, what is told is no round.
        """
        if not self.is_enabled():
            raise NotPermitted(
                Reason.LEARNING_OFF,
                "This device takes part in no rounds: its owner may set enabled in [learning], see seawall-agent learning show.",
            )
        if not self._flower.is_there():
            raise NotPossibleNow(Reason.LEARNING_UNAVAILABLE, f"Flower is not installed on this device: {self._flower.how_to_install}")
        if self._is_busy:
            raise Busy(Reason.LEARNING_BUSY, "This device is in a round: tell it of the next one when that is over.")
        key = ec.generate_private_key(ec.SECP256R1())
        taken = self._read(entry, key, self._answering())
        self._is_busy = True
        self._taken.put_nowait(taken)
        return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    async def run(self) -> None:
        """Carries what is taken, until cancelled."""
        while True:
            await self._carry(await self._taken.get())
            await asyncio.to_thread(self._tidying)

    async def _carry(self, taken: _Round) -> None:
        """Carries one. What answered it has the round's secrets, and is gone when this returns."""
        _log.info("a round of learning begins", round=taken.round_id)
        try:
            await self._carrying(taken.target, taken.answer, taken.deadline_seconds)
            self._last = "over"
        except SeawallError as error:
            self._last = error.message
            _log.warning("a round of learning has failed", round=taken.round_id, reason=error.reason, advice=error.message)
        finally:
            self._is_busy = False
        _log.info("a round of learning is over", round=taken.round_id)

    def _read(self, entry: CommandEntry, key: ec.EllipticCurvePrivateKey, answer: Answer) -> _Round:
        told = LearningRound.FromString(entry.learning_round)
        deadline_seconds = told.deadline.ToNanoseconds() / 1e9
        certificate = None
        with suppress(ValueError):
            certificate = x509.load_der_x509_certificate(told.certificate).public_bytes(Encoding.PEM)
        if certificate is None or not 0 < told.port < 65536 or not 0 < deadline_seconds <= LONGEST_ROUND_SECONDS:
            raise InvalidRequest(Reason.FIELD_INVALID, "What the hub tells of is no round: install the same version on both sides.")
        host, _ = split_address(self._hub_address())
        node_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        address = f"[{host}]:{told.port}" if ":" in host else f"{host}:{told.port}"
        return _Round(told.round_id[:64], Target(address, certificate, node_key), answer, deadline_seconds)
