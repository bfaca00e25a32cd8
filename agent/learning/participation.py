"""This device in one round after another: a plan is held against the device's own limits, and what follows against the plan.

The hub's messages come one by one, by whatever carries them; each is answered or refused. A new plan ends the round before: its secrets are
dropped, and a window that it has spent stays spent.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from agent.learning.ledger import LedgerStore, Price, RoundLedger
from agent.learning.reporting import Reporting, vector
from contract.errors import NotPermitted, NotPossibleNow, Reason, SeawallError
from contract.learning import rho_of, schema, terms, windows_over
from contract.learning_limits import LearningLimits
from contract.privacy_noise import Bits
from contract.secagg.client import Member, Participant
from contract.secagg.messages import Plan
from contract.secagg.roster import Roster
from contract.secagg.rules import Rules, Terms
from contract.secagg.wire import Kind, kind_of
from contract.subjects import USAGE, Judged, Subject, week_of

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Device:
    """Who this device is now.

    Args:
        agent: its id.
        member_key: the one by which rosters know it; it stays when its certificate is renewed.
    """

    agent: str
    member_key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Site:
    """What rounds are answered with.

    Args:
        limits: returns the device's own, as they are now.
        device: returns who it is now.
        roster: returns the newest signed roster.
        ledger: of what was contributed.
        reporting: counts a week.
        judged: returns what it would report of answers that people judged: of the models that it has now, under the maps in force now.
        clock: returns the time, UTC.
        randomness: returns so many bytes that nobody can guess.
        bits: returns a number of so many random bits, likewise.
    """

    limits: Callable[[], LearningLimits]
    device: Callable[[], Device]
    roster: Callable[[], Awaitable[Roster]]
    ledger: LedgerStore
    reporting: Reporting
    judged: Callable[[], Sequence[Judged]]
    clock: Callable[[], datetime]
    randomness: Callable[[int], bytes] = secrets.token_bytes
    bits: Bits = secrets.randbits


class Participation:
    """Answers rounds.

    Args:
        site: what with.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._participant: Participant | None = None
        self._limits: LearningLimits | None = None
        """By which the participant has accepted its plan."""
        self._one_at_a_time = asyncio.Lock()

    def afresh(self) -> "Participation":
        """Returns one that is in no round. Made for each that is carried, and dropped with its secrets when that is over."""
        return Participation(self._site)

    async def answer(self, content: bytes) -> bytes:
        """Takes a hub's message, and returns the answer to it.

        Raises:
            SeawallError: it is refused; nothing is sent.
        """
        async with self._one_at_a_time:
            try:
                if kind_of(content) is Kind.PLAN:
                    self._participant = None
                    self._participant = await self._join(Plan.from_bytes(content))
                return await self._received(content)
            except SeawallError as error:
                _log.info("a round is refused", reason=error.reason)
                raise

    async def _received(self, content: bytes) -> bytes:
        """Has the participant answer. One that is cut off in the middle is not taken up again: it may be answering still."""
        participant, self._participant = self._participant, None
        if participant is None:
            raise NotPossibleNow(Reason.ROUND_UNKNOWN, "This device is in no round: send it a plan first.")
        self._check_limits()
        try:
            answer = await asyncio.to_thread(participant.receive, content)
        except SeawallError:
            self._keep(participant)
            raise
        self._keep(participant)
        return answer

    def _keep(self, participant: Participant) -> None:
        self._participant = None if participant.is_over else participant

    def _check_limits(self) -> None:
        """Leaves a round when the limits have changed under it: what was accepted by the ones before is given by none."""
        if self._site.limits() != self._limits:
            raise NotPermitted(Reason.LEARNING_OFF, "This device's limits have changed since the round began: plan the next one by these.")

    async def _join(self, plan: Plan) -> Participant:
        limits = self._limits = self._site.limits()
        if not limits.enabled:
            raise NotPermitted(Reason.LEARNING_OFF, "This device takes part in no sums: its owner says so, or its signed policy does.")
        subject = _subject(plan, self._site.judged())
        offered = _terms(subject, plan, limits, self._site.clock())
        roster, device = await self._site.roster(), self._site.device()
        member = Member(device.agent, device.member_key, roster, _rules(subject, plan, limits, roster))
        ledger = RoundLedger(self._site.ledger, lambda: _price(subject, plan, limits), lambda: self._site.clock().timestamp())
        return Participant(member, offered, ledger, partial(self._contribute, subject), self._site.randomness)

    def _contribute(self, subject: Subject, plan: Plan) -> bytes:
        counts = self._site.reporting.counts(subject, week_of(plan.window))
        self._site.ledger.keep_counts(plan.window, subject.named(counts))
        return vector(counts, subject, plan, self._site.bits)


def _subject(plan: Plan, judged: Sequence[Judged]) -> Subject:
    """Returns what a plan is of, by the schemas that this device reckons itself; of none of them it is held against use, and refused."""
    return next((one for one in judged if plan.schema in (schema(one, is_exact=False), schema(one, is_exact=True))), USAGE)


def _terms(subject: Subject, plan: Plan, limits: LearningLimits, now: datetime) -> Terms:
    """Returns what this device would report in such a round: of a week that is over, with noise unless it may be without."""
    weeks = windows_over(now)
    week = week_of(plan.window) if week_of(plan.window) in weeks else weeks[0]
    is_exact = _is_exact(subject, plan)
    if is_exact and not limits.may_be_exact(len(plan.cohort)):
        raise NotPermitted(Reason.COHORT_TOO_SMALL, "For a sum without noise this cohort is too small here: ask for one with noise.")
    return terms(subject, week, is_exact)


def _rules(subject: Subject, plan: Plan, limits: LearningLimits, roster: Roster) -> Rules:
    """Returns what the cohort is held to, and again those that are left of it: a sum without noise is never of fewer than it may be of."""
    return Rules(limits.exact_cohort if _is_exact(subject, plan) else limits.smallest_cohort, roster.version)


def _price(subject: Subject, plan: Plan, limits: LearningLimits) -> Price:
    is_exact = _is_exact(subject, plan)
    return Price(0.0 if is_exact else rho_of(subject, plan), limits.budget, len(plan.cohort), is_exact)


def _is_exact(subject: Subject, plan: Plan) -> bool:
    return plan.schema == schema(subject, is_exact=True)
