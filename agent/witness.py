"""Signs the log of receipts from time to time, and has the hub witness it. Beside the answers: whatever fails here delays none."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.audit_client import get_record, witness
from agent.hub_link import HubLink
from agent.identity.files import Identity
from agent.store.audit import ReceiptStore
from agent.store.heads import HeadStore, KeptHead
from contract.errors import NotPossibleNow, Reason, SeawallError
from contract.identity import agent_name
from contract.tree_heads import SignedHead, TreeHead, sign_head, to_millisecond

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeadTimes:
    """When a head is made.

    Args:
        receipts: after so many new ones at the latest.
        seconds: after so many seconds at the latest, where there is a new one.
        jitter: the share by which agents differ, so that a fleet does not call at once.
    """

    receipts: int = 200
    seconds: float = 300.0
    jitter: float = 0.2


class HeadKeeper:
    """Makes heads of the log, and has them witnessed.

    Args:
        heads: where they are kept.
        receipts: what they are of.
        agent_id: whose log it is.
        link: to the hub; None: the agent is not enrolled, and its heads are not signed.
        clock: returns the time, UTC.
        randomness: for jitter.
        times: when it is done.
    """

    def __init__(
        self,
        heads: HeadStore,
        receipts: ReceiptStore,
        agent_id: str,
        link: HubLink | None,
        clock: Callable[[], datetime],
        randomness: random.Random,
        times: HeadTimes | None = None,
    ) -> None:
        self._heads = heads
        self._receipts = receipts
        self._log_name = agent_name(agent_id)
        self._link = link
        self._clock = clock
        self._randomness = randomness
        self._times = times or HeadTimes()
        self.state = "nothing signed yet"

    async def run(self) -> None:
        """Goes on until cancelled."""
        while True:
            try:
                await self.keep_once()
            except SeawallError as error:
                self.state = f"{error.reason}: {error.message}"
                _log.warning("the log of receipts is not witnessed", reason=error.reason, advice=error.message)
            await self._due()

    async def keep_once(self) -> None:
        """Makes a head where there are new receipts, and has the newest one witnessed where the hub can be reached.

        Raises:
            SeawallError: it cannot be made, or the hub does not witness it; both are tried again.
        """
        kept = await self.seal()
        if kept is None or self._link is None or kept.witness is not None:
            return
        with self._link.use() as channel:
            identity = self._link.identity
            record = await get_record(channel, identity)
            proof = await self._heads.proof(record.size, kept.size) if 0 < record.size < kept.size else []
            given = await witness(channel, identity, kept.signed, record.size, proof)
        await self._heads.witnessed(kept.signed, given)
        self.state = f"{kept.size} receipts, witnessed by the hub"

    async def seal(self) -> KeptHead | None:
        """Makes a head where there are new receipts. Returns the newest; None: there are no receipts.

        Raises:
            SeawallError: it cannot be made.
        """
        identity = self._link.identity if self._link is not None else None
        sign = SignedHead if identity is None else await asyncio.to_thread(_signer, identity)
        kept = await self._heads.sign(self._log_name, sign, to_millisecond(self._clock()), partial(_will_do, sign))
        if kept is not None:
            self.state = f"{kept.size} receipts, " + ("not enrolled, not signed" if identity is None else "not witnessed yet")
            if kept.witness is not None:
                self.state = f"{kept.size} receipts, witnessed by the hub"
        return kept

    async def _due(self) -> None:
        """Waits until there are many new receipts, or for a while."""
        until = self._receipts.appended + self._times.receipts
        seconds = self._times.seconds * self._randomness.uniform(1 - self._times.jitter, 1 + self._times.jitter)
        try:
            async with asyncio.timeout(seconds):  # `wait_for` loses a cancellation that comes together with the event, before Python 3.12
                while self._receipts.appended < until:
                    await self._receipts.changed.wait()
        except TimeoutError:
            return


Sign = Callable[[TreeHead], SignedHead]


def _signer(identity: Identity) -> Sign:
    key = load_pem_private_key(identity.key_pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NotPossibleNow(
            Reason.CERTIFICATE_INVALID, "The device's key is no EC key: enrol again with seawall-agent enroll --again TOKEN."
        )
    return partial(sign_head, key)


def _will_do(sign: Sign, kept: KeptHead) -> bool:
    """A head that was witnessed stays as it is. One that was not must be of the key that the device has now, or no hub takes it."""
    return kept.witness is not None or sign(kept.signed.head).public_key == kept.signed.public_key
