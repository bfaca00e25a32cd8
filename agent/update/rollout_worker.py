"""Does what rollouts want: takes a version, tries it, has it serve, keeps it or goes back. Each step can be cut off; a start goes on.

WAITING → FETCHING → CHECKING → SHADOWING → ON_PROBATION → PROVEN
                         └───────────┴→ REFUSED    └→ ROLLED_BACK
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, TypeVar

import structlog

from agent.releases import ENDED, FAILED, Releases, State
from agent.store.live import LiveStore
from agent.store.rollouts import Before, RolloutEntry
from agent.traffic import Traffic
from agent.update.checks import Checked, Checks
from agent.update.crash_loop import begin_probation
from agent.update.deployment import Deployment, Tell
from agent.update.probation import Verdict, judge
from agent.update.progress import Progress
from agent.update.trial import Trial, read_trial
from contract.errors import SeawallError
from seawall.hub.v1.rollout_pb2 import DesiredRelease

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_WELL_STARTED_SECONDS = 60.0
"""An agent that has served so long with a version has not fallen over it at its start."""

_GIVEN_BACK = "The hub has had it given back."


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """How long things take; seconds.

    Args:
        look: between two looks at a probation.
        first_delay: after trouble that may pass; it doubles.
        longest_delay: where it stops doubling.
        progress: between two reports of how far a download is.
        save: between two writes of what was counted, and of how long a probation has lasted.
    """

    look: float = 5.0
    first_delay: float = 5.0
    longest_delay: float = 600.0
    progress: float = 3.0
    save: float = 30.0


class _Superseded(Exception):
    """The hub wants something else now."""


class RolloutWorker:
    """The one that acts. It alone changes what serves while the agent runs.

    Args:
        releases: what is wanted, and what is reported.
        deployment: what serves.
        checks: of a version that does not serve yet.
        traffic: live answers.
        live: where they are counted.
        randomness: for delays.
        times: how long things take.
        elapsed: returns seconds that no change of the clock moves.
    """

    def __init__(
        self,
        releases: Releases,
        deployment: Deployment,
        checks: Checks,
        traffic: Traffic,
        live: LiveStore,
        randomness: random.Random,
        times: WorkerTimes | None = None,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self.releases = releases
        self._deployment = deployment
        self._checks = checks
        self._traffic = traffic
        self._live = live
        self._randomness = randomness
        self._times = times or WorkerTimes()
        self._elapsed = elapsed

    async def run(self) -> None:
        """Acts until cancelled."""
        failures = 0
        while True:
            self.releases.wanted.clear()
            entry: RolloutEntry | None = None
            try:
                entry = await self._next()
                if entry is not None:
                    await self._act(entry)
                failures, delay = 0, await self._delay_after(entry)
            except _Superseded:
                continue
            except SeawallError as trouble:
                delay = self._delay_seconds(failures)
                failures += 1
                await self._tell_trouble(entry, trouble, delay)
            await self._wait(delay)

    async def write_counts(self) -> None:
        """Writes down what live traffic says, again and again, so that there is something to compare a later version with."""
        while True:
            await asyncio.sleep(self._times.save)
            try:
                await self._traffic.write(self._live)
            except SeawallError as error:
                _log.error("what was counted cannot be kept", reason=error.reason, advice=error.message)

    async def _next(self) -> RolloutEntry | None:
        """Returns what is to be acted on: a version on probation before what was wanted last."""
        newest, on_trial = await self.releases.newest(), await self._deployment.trial_rollout()
        if on_trial and (newest is None or newest.rollout != on_trial):
            newest = await self.releases.get(on_trial) or newest
        if newest is not None:
            self.releases.recall(newest)
        return newest

    async def _act(self, entry: RolloutEntry) -> None:
        is_on_trial = await self._deployment.trial_rollout() == entry.rollout
        if entry.wanted.action == DesiredRelease.GIVE_BACK:
            if entry.report.state not in FAILED:
                await self._give_back(entry, is_on_trial)
        elif entry.report.state in ENDED:
            return
        elif is_on_trial:
            await self._prove_or_go_back(entry)
        elif entry.probation is not None:
            await self._tell_end(entry, entry.probation.digest)
        else:
            await self._take(entry)

    async def _tell_end(self, entry: RolloutEntry, digest: str) -> None:
        """A probation has ended in the slots, and the agent with it before it was told: if the version serves, it was proven."""
        if self._deployment.digest == digest:
            await self.releases.tell(entry, State.PROVEN)
            return
        detail = entry.report.detail or "It could not be loaded when the agent was started again: see seawall-agent status."
        await self.releases.tell(entry, State.ROLLED_BACK, detail, entry.report.failed_figure)

    async def _take(self, entry: RolloutEntry) -> None:
        with self._deployment.held():
            entry = await self.releases.tell(entry, State.FETCHING)
            model, version = _names(entry)
            if not await self._unless_superseded(entry, self._deployment.bring(model, version, self._progress(entry))):
                entry = await self.releases.keep(entry, before=self._before(entry))
                await self.releases.tell(entry, State.PROVEN, "It serves already.")
                return
            entry = await self.releases.keep(entry, before=self._before(entry))
            entry = await self.releases.tell(entry, State.CHECKING)
            checked = await self._unless_superseded(entry, self._checked(entry))
            if not checked.refusal:
                checked = await self._put_in(entry, checked)
            if checked.refusal:
                await self._deployment.discard()
                await self.releases.tell(entry, State.REFUSED, checked.refusal, checked.failed, checked.figures, checked.limits)
                return
            entry = await self._on_probation(entry, checked)
        await self._prove_or_go_back(entry)

    def _before(self, entry: RolloutEntry) -> Before:
        interruptions = entry.before.interruptions if entry.before is not None else 0
        return replace(self._deployment.before(), interruptions=interruptions)

    async def _checked(self, entry: RolloutEntry) -> Checked:
        async def shadowing(checked: Checked) -> None:
            await self.releases.tell(entry, State.SHADOWING, figures=checked.figures, limits=checked.limits)

        return await self._checks.of(self._deployment.slots.other_bundle, read_trial(entry.wanted.trial), shadowing)

    async def _put_in(self, entry: RolloutEntry, checked: Checked) -> Checked:
        why = await self._deployment.put_in(entry.rollout)
        return replace(checked, refusal=f"It cannot be loaded: {why}") if why else checked

    async def _on_probation(self, entry: RolloutEntry, checked: Checked | None = None) -> RolloutEntry:
        """Notes that the probation has begun, and what was counted until now."""
        if entry.probation is None:
            await self._traffic.write(self._live)
            entry = await self.releases.keep(entry, probation=await begin_probation(self._deployment.slots, self._live, entry))
        figures, limits = (checked.figures, checked.limits) if checked is not None else (None, None)
        return await self.releases.tell(entry, State.ON_PROBATION, figures=figures, limits=limits)

    async def _prove_or_go_back(self, entry: RolloutEntry) -> None:
        trial = read_trial(entry.wanted.trial)
        await self._deployment.catch_up()
        if entry.probation is None or entry.report.state != State.ON_PROBATION:
            entry = await self._on_probation(entry)
        begun = last = saved = self._elapsed()
        while True:
            now = self._elapsed()
            entry, verdict = await self._looked(entry, trial, now - last, now - begun >= _WELL_STARTED_SECONDS)
            last = now
            if verdict.failed:
                return await self._go_back(entry, verdict)
            if verdict.is_over:
                return await self._prove(entry, verdict)
            if now - saved >= self._times.save:
                entry, saved = await self.releases.keep(entry), now
            await self._wait(self._times.look)
            await self._check_wanted(entry)

    async def _looked(self, entry: RolloutEntry, trial: Trial, seconds: float, has_lasted: bool) -> tuple[RolloutEntry, Verdict]:
        """Counts, and judges. The number of starts is forgotten as soon as there was an answer, or a minute has passed."""
        record = entry.probation
        if record is None:
            raise ValueError("a probation that has no record has not begun")
        await self._traffic.write(self._live)
        seen = (await self._live.of(record.digest)).since(record.new)
        is_well = record.starts > 0 and (seen.answers > 0 or has_lasted)
        record = replace(record, seconds=record.seconds + seconds, starts=0 if is_well else record.starts)
        entry = await self.releases.keep(entry, probation=record) if is_well else replace(entry, probation=record)
        return entry, judge(seen, record.old, record.seconds, trial)

    async def _prove(self, entry: RolloutEntry, verdict: Verdict) -> None:
        await self._deployment.prove()
        figures, limits = _merged(entry, verdict)
        await self.releases.tell(entry, State.PROVEN, figures=figures, limits=limits)

    async def _go_back(self, entry: RolloutEntry, verdict: Verdict) -> None:
        """What was measured is kept first: a start that is cut off here finds the version given up, and says why."""
        figures, limits = _merged(entry, verdict)
        entry = await self.releases.tell(entry, State.ON_PROBATION, verdict.sentence, verdict.failed, figures, limits)
        await self._deployment.roll_back(entry.rollout, verdict.sentence)
        await self.releases.tell(entry, State.ROLLED_BACK, verdict.sentence, verdict.failed)

    async def _give_back(self, entry: RolloutEntry, is_on_trial: bool) -> None:
        has_served = True
        if is_on_trial:
            await self._deployment.roll_back(entry.rollout, _GIVEN_BACK)
        else:
            model, version = _names(entry)
            has_served = await self._deployment.give_back(model, version, entry.before, _GIVEN_BACK, self._progress(entry))
        await self.releases.tell(entry, State.ROLLED_BACK, _GIVEN_BACK if has_served else "Nothing of it was taken here.")

    def _progress(self, entry: RolloutEntry) -> Tell:
        told_at, said = self._elapsed() - self._times.progress, ""

        def tell(progress: Progress) -> None:
            nonlocal told_at, said
            now = self._elapsed()
            if progress.waiting != said or now - told_at >= self._times.progress:
                told_at, said = now, progress.waiting
                self.releases.tell_progress(entry.rollout, progress.done_bytes, progress.total_bytes, progress.waiting)

        return tell

    async def _tell_trouble(self, entry: RolloutEntry | None, trouble: SeawallError, delay: float) -> None:
        _log.warning("a rollout waits", reason=trouble.reason, advice=trouble.message, again_in_seconds=round(delay, 1))
        if entry is None:
            return
        try:
            entry = await self.releases.get(entry.rollout) or entry
            state = entry.report.state if entry.report.state in (State.ON_PROBATION, *ENDED) else State.WAITING
            await self.releases.tell(entry, state, trouble.message, entry.report.failed_figure)
        except SeawallError as error:
            _log.error("how far a rollout is cannot be kept", reason=error.reason, advice=error.message)

    async def _delay_after(self, entry: RolloutEntry | None) -> float | None:
        """Returns None: there is nothing to do until the hub wants something; 0: there is more to do."""
        following = await self._next()
        is_same = _key(following) == _key(entry)
        return None if is_same else 0.0

    def _delay_seconds(self, failures: int) -> float:
        longest = min(self._times.longest_delay, self._times.first_delay * 2.0 ** min(failures, 16))
        return self._randomness.uniform(longest / 2, longest)

    async def _wait(self, seconds: float | None) -> None:
        """Waits, but no longer than until the hub wants something."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.releases.wanted.wait()

    async def _check_wanted(self, entry: RolloutEntry) -> None:
        """Raises _Superseded where a version on probation is to be given back; another rollout waits until the probation is over."""
        if self.releases.wanted.is_set():
            self.releases.wanted.clear()
            now = await self.releases.get(entry.rollout)
            if now is not None and now.wanted.action != entry.wanted.action:
                raise _Superseded

    async def _unless_superseded(self, entry: RolloutEntry, work: Coroutine[Any, Any, T]) -> T:
        """Does work that is given up as soon as the hub wants something else."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._superseded(entry))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                leaving.result()
                raise _Superseded
            return working.result()
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.wait({working, leaving})

    async def _superseded(self, entry: RolloutEntry) -> None:
        """Returns when the hub wants something else. What was not looked at to its end, or not acted on, is still to be looked at."""
        is_same = True
        while is_same:
            await self.releases.wanted.wait()
            self.releases.wanted.clear()
            is_same = False
            try:
                is_same = _key(await self.releases.newest()) == _key(entry)
            finally:
                if not is_same:
                    self.releases.wanted.set()


def _key(entry: RolloutEntry | None) -> tuple[str, int]:
    return ("", 0) if entry is None else (entry.rollout, entry.wanted.action)


def _names(entry: RolloutEntry) -> tuple[str, str]:
    _, model, _, version = entry.wanted.model_version.split("/")
    return model, version


def _merged(entry: RolloutEntry, verdict: Verdict) -> tuple[dict[str, float], dict[str, float]]:
    return {**entry.report.figures, **verdict.figures}, {**entry.report.limits, **verdict.limits}
