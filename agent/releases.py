"""What rollouts want of this agent and how far it is with it: kept first, then acted on, told to the hub in every session."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from agent.store.rollouts import Before, ProbationRecord, RolloutEntry, RolloutStore
from seawall.hub.v1.rollout_pb2 import DesiredRelease, ReleaseReport

_log = structlog.get_logger(__name__)

_ROLLOUT = re.compile(r"rollouts/[a-z0-9][a-z0-9-]{0,62}")
_VERSION = re.compile(r"models/[a-z0-9][a-z0-9.-]{0,62}/versions/[a-z0-9][a-z0-9.-]{0,62}")
_ACTIONS = (DesiredRelease.TAKE, DesiredRelease.GIVE_BACK)
_LONGEST_DETAIL_CHARACTERS = 1000

State = ReleaseReport.State

ENDED = (State.PROVEN, State.REFUSED, State.ROLLED_BACK)
FAILED = (State.REFUSED, State.ROLLED_BACK)


class Releases:
    """What is wanted, and what is reported of it.

    Args:
        store: where both are kept.
        counted: told of each state that is new.
    """

    def __init__(self, store: RolloutStore, counted: Callable[[str], None] = lambda _: None) -> None:
        self._store = store
        self._counted = counted
        self._reports: dict[str, ReleaseReport] = {}
        self.changed = asyncio.Event()
        """Set when there is something new to report; another event takes its place."""
        self.wanted = asyncio.Event()
        """Set when the hub has said what it wants; whoever acts on it clears it."""

    async def want(self, wanted: DesiredRelease) -> None:
        """Takes what a rollout wants. When this returns, it is on the disk.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk does not take it.
        """
        if not _ROLLOUT.fullmatch(wanted.rollout) or not _VERSION.fullmatch(wanted.model_version) or wanted.action not in _ACTIONS:
            _log.warning("what a rollout wants is passed over: this agent does not understand it", rollout=wanted.rollout[:100])
            return
        before = await self._store.get(wanted.rollout)
        if before is not None and before.wanted.model_version != wanted.model_version:
            _log.warning("a rollout that names another version than before is passed over", rollout=wanted.rollout)
            return
        entry = await self._store.want(wanted)
        if before is None or before.wanted != wanted:
            _log.info("a rollout wants something", rollout=wanted.rollout, version=wanted.model_version, action=wanted.action)
        self._reports = {name: report for name, report in self._reports.items() if report.state not in ENDED}
        self._reports[entry.rollout] = entry.report
        self._wake()
        self.wanted.set()

    async def newest(self) -> RolloutEntry | None:
        """Returns what was wanted last; None: nothing ever was."""
        return await self._store.newest()

    async def get(self, rollout: str) -> RolloutEntry | None:
        """Returns a rollout; None: it is not known."""
        return await self._store.get(rollout)

    def recall(self, entry: RolloutEntry) -> None:
        """Reports of a rollout that an earlier process was busy with."""
        if entry.rollout not in self._reports:
            self._reports[entry.rollout] = entry.report
            self._wake()

    def reports(self) -> list[ReleaseReport]:
        """Returns how far this agent is with the rollouts that it is, or was last, busy with."""
        return list(self._reports.values())

    @property
    def progress_bytes(self) -> tuple[int, int]:
        """Of the version that is fetched now: those that are here, and all; zeros: none is."""
        fetched = next((report for report in self._reports.values() if report.total_bytes), ReleaseReport())
        return fetched.done_bytes, fetched.total_bytes

    def health(self) -> str:
        """Returns what status and /healthz show."""
        return "; ".join(_sentence(report) for report in self._reports.values()) or "none"

    async def keep(self, entry: RolloutEntry, before: Before | None = None, probation: ProbationRecord | None = None) -> RolloutEntry:
        """Keeps what the hub is not told of; None: as it is."""
        entry = replace(entry, before=before or entry.before, probation=probation or entry.probation)
        await self._store.put(entry)
        return entry

    async def tell(
        self,
        entry: RolloutEntry,
        state: State.ValueType,
        detail: str = "",
        failed_figure: str = "",
        figures: Mapping[str, float] | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> RolloutEntry:
        """Keeps how far the agent is, and has it told.

        Args:
            entry: the rollout.
            state: the new one.
            detail: a sentence, without prompt text.
            failed_figure: that was beyond its limit.
            figures: measured; None: those that were.
            limits: held to; None: as they were.
        """
        report = ReleaseReport(
            rollout=entry.rollout,
            model_version=entry.wanted.model_version,
            state=state,
            detail=detail[:_LONGEST_DETAIL_CHARACTERS],
            failed_figure=failed_figure,
            figures=entry.report.figures if figures is None else figures,
            limits=entry.report.limits if limits is None else limits,
        )
        if state != entry.report.state:
            self._counted(State.Name(state).lower())
        entry = replace(entry, report=report)
        await self._store.put(entry)
        self._reports[entry.rollout] = report
        self._wake()
        if state in ENDED:
            _log.info("rollout", rollout=entry.rollout, state=State.Name(state), detail=report.detail, failed_figure=failed_figure)
        return entry

    def tell_progress(self, rollout: str, done_bytes: int, total_bytes: int, waiting: str) -> None:
        """Has the hub told how far a download is; this is not kept."""
        report = ReleaseReport()
        report.CopyFrom(self._reports.get(rollout, ReleaseReport(rollout=rollout)))
        report.state = State.WAITING if waiting else State.FETCHING
        report.detail, report.done_bytes, report.total_bytes = waiting[:_LONGEST_DETAIL_CHARACTERS], done_bytes, total_bytes
        self._reports[rollout] = report
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _sentence(report: ReleaseReport) -> str:
    doing = State.Name(report.state).lower().replace("_", " ")
    amount = f", {report.done_bytes / 1e6:.1f} of {report.total_bytes / 1e6:.1f} MB" if report.total_bytes else ""
    return f"{report.model_version} {doing}{amount}{': ' if report.detail else ''}{report.detail}"
