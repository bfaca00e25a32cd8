"""seawall.hub.v1.LearningService."""

import re
from typing import Any

import grpc.aio

from contract.calibration.maps import Map
from contract.errors import InvalidRequest, Reason
from contract.learning import window_before
from contract.privacy_account import epsilon
from contract.subjects import USAGE, Confidence, Similarity, Subject
from contract.usage import SCHEMA_VERSION
from hub.api.fields import read_request_id
from hub.api.identity import actor
from hub.api.paging import fitting, page_size, page_token, read_number_token
from hub.fleet.messages import timestamp
from hub.learning.drift import Drift, Shift
from hub.learning.planning import Wanted
from hub.learning.results import DELTA, GroupSums
from hub.learning.rosters import RosterFit
from hub.learning.rounds import By, Rounds
from hub.store.learning import CohortRecord, RoundRecord
from seawall.hub.v1 import round_pb2, round_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_ROUND_ID = re.compile(r"[0-9]{4}-w[0-9]{2}-[0-9a-f]{8}")
_WINDOW = re.compile(r"[0-9]{4}-W[0-9]{2}")


class LearningServicer(round_pb2_grpc.LearningServiceServicer):
    """Shows and begins rounds.

    Args:
        rounds: all of them.
        trust_domain: of those who begin them.
    """

    def __init__(self, rounds: Rounds, trust_domain: str) -> None:
        self._rounds = rounds
        self._trust_domain = trust_domain

    async def GetRound(self, request: round_pb2.GetRoundRequest, context: Context) -> round_pb2.Round:  # noqa: N802
        """See the proto."""
        del context
        return round_message(await self._rounds.get(_read_name("rounds", request.name, _ROUND_ID)))

    async def ListRounds(  # noqa: N802  # the proto's name
        self, request: round_pb2.ListRoundsRequest, context: Context
    ) -> round_pb2.ListRoundsResponse:
        """See the proto."""
        del context
        size = page_size(request.page_size)
        found = await self._rounds.page(read_number_token(request.page_token), size + 1)
        shown = fitting(round_message(one) for one in found[:size])
        return round_pb2.ListRoundsResponse(
            rounds=shown,
            next_page_token=page_token(str(found[len(shown) - 1].number)) if len(found) > len(shown) else "",
            roster_fit=None if request.page_token else _fit_message(await self._rounds.roster_fit()),
        )

    async def CreateRound(self, request: round_pb2.CreateRoundRequest, context: Context) -> round_pb2.Round:  # noqa: N802
        """See the proto."""
        del context
        asked = request.round
        wanted = Wanted(asked.window, tuple(asked.group_by), asked.exact, _subject(asked))
        by = By(actor(self._trust_domain), read_request_id(request.request_id))
        return round_message(await self._rounds.create(wanted, by))

    async def GetReport(self, request: round_pb2.GetReportRequest, context: Context) -> round_pb2.Report:  # noqa: N802
        """See the proto."""
        del context
        window = _read_name("reports", request.name, _WINDOW)
        against = _read_name("reports", request.against, _WINDOW) if request.against else window_before(window)
        groups = await self._rounds.report(window, request.group_by, against)
        return round_pb2.Report(
            name=request.name,
            schema_version=SCHEMA_VERSION,
            groups=map(_group_message, groups),
            against=f"reports/{against}" if against else "",
        )

    async def GetSums(self, request: round_pb2.GetSumsRequest, context: Context) -> round_pb2.Sums:  # noqa: N802
        """See the proto."""
        del context
        content = await self._rounds.sums(_read_name("rounds", request.name, _ROUND_ID))
        return round_pb2.Sums(name=request.name, content=content)


def round_message(record: RoundRecord) -> round_pb2.Round:
    """Returns a round. Sums are left to reports."""
    return round_pb2.Round(
        name=f"rounds/{record.round_id}",
        window=record.window,
        group_by=record.group_by,
        exact=record.is_exact,
        schema_version=record.schema_version,
        roster_version=record.roster_version,
        state=round_pb2.Round.State.Value(record.state),
        reason=record.reason,
        creator=record.creator,
        create_time=timestamp(record.create_time),
        end_time=timestamp(record.end_time),
        cohorts=[_cohort_message(cohort) for cohort in record.cohorts],
        left_out=record.left_out,
        confidence=_confidence_message(record.subject) if isinstance(record.subject, Confidence) else None,
        similarity=_similarity_message(record.subject) if isinstance(record.subject, Similarity) else None,
    )


def _fit_message(fits: RosterFit) -> round_pb2.RosterFit:
    return round_pb2.RosterFit(version=fits.version, agents=fits.agents, missing=fits.missing, reason=fits.reason)


def _confidence_message(subject: Confidence) -> round_pb2.Round.Confidence:
    return round_pb2.Round.Confidence(model_digest=subject.model, slope=subject.in_force.slope, offset=subject.in_force.offset)


def _similarity_message(subject: Similarity) -> round_pb2.Round.Similarity:
    return round_pb2.Round.Similarity(embedder_digest=subject.model, slope=subject.in_force.slope, offset=subject.in_force.offset)


def _subject(asked: round_pb2.Round) -> Subject:
    if asked.HasField("confidence"):
        return Confidence(asked.confidence.model_digest, Map(asked.confidence.slope, asked.confidence.offset))
    if asked.HasField("similarity"):
        return Similarity(asked.similarity.embedder_digest, Map(asked.similarity.slope, asked.similarity.offset))
    return USAGE


def _cohort_message(record: CohortRecord) -> round_pb2.Round.Cohort:
    return round_pb2.Round.Cohort(
        group=record.group,
        size=record.size,
        threshold=record.threshold,
        state=round_pb2.Round.State.Value(record.state),
        reason=record.reason,
        stage=record.stage,
        lost=record.lost,
        contributors=record.contributors,
        epsilon=epsilon(record.rho, DELTA) if record.rho else None,
    )


def _group_message(group: GroupSums) -> round_pb2.Report.GroupSums:
    return round_pb2.Report.GroupSums(
        group=dict(group.group),
        contributors=group.contributors,
        cohorts=group.cohorts,
        sums=group.sums,
        standard_deviation=group.standard_deviation,
        epsilon=group.epsilon,
        drift=None if group.drift is None else _drift_message(group.drift),
        no_drift_reason=group.no_drift_reason,
    )


def _drift_message(drift: Drift) -> round_pb2.Report.Drift:
    return round_pb2.Report.Drift(directions=map(_shift_message, drift.directions), together=_shift_message(drift.together))


def _shift_message(shift: Shift) -> round_pb2.Report.Shift:
    return round_pb2.Report.Shift(index=shift.index, standard_deviation=shift.standard_deviation)


def _read_name(collection: str, name: str, pattern: re.Pattern[str]) -> str:
    found, _, resource_id = name.partition("/")
    if found != collection or not pattern.fullmatch(resource_id):
        example = "rounds/2026-w48-0123abcd" if collection == "rounds" else "reports/2026-W48"
        raise InvalidRequest(Reason.NAME_INVALID, f"'{name[:80]}' is no name of one of the {collection}: use one such as {example}.")
    return resource_id
