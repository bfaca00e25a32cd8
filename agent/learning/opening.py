"""Puts together this device's part in sums."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from agent.config import AgentSettings
from agent.hub_link import HubLink
from agent.inference.machine import power_watts, temperature_celsius
from agent.learning.ledger import LedgerStore
from agent.learning.participation import Device, Participation, Site
from agent.learning.reporting import MayLearn, Reporting
from agent.learning.rosters import KeptRoster, RosterTaker
from agent.policies.in_force import Chosen, PolicyInForce
from agent.state import StateFolder
from agent.store.database import Database
from agent.update.chunk_folder import ChunkFolder
from agent.update.fetcher import Fetcher
from agent.update.opening import open_source, open_trust, rooted
from agent.update.pacing import Pace, PaceSettings
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY
from contract.classification import Classification, stored_class
from contract.learning_limits import LearningLimits
from contract.secagg.roster import Roster
from contract.subjects import EMBEDDER, Confidence, Similarity
from contract.surroundings import Surroundings
from contract.usage import Condition


def open_participation(
    settings: AgentSettings,
    state: StateFolder,
    database: Database,
    link: HubLink,
    policy: PolicyInForce,
    around: Callable[[], Surroundings],
    model: Callable[[], str],
    clock: Callable[[], datetime],
) -> Participation:
    """Returns what answers rounds.

    Args:
        settings: of the agent.
        state: its folder.
        database: the store.
        link: to the hub.
        policy: in force.
        around: returns what is known around any prompt now.
        model: returns the digest of the model that it has now.
        clock: returns the time, UTC.
    """
    ledger = LedgerStore(database)
    reporting = Reporting(database, may_learn(policy, link, around), random.SystemRandom(), condition)
    site = Site(
        limits=lambda: limits_of(settings, policy.chosen),
        device=lambda: _device(state),
        roster=lambda: take_roster(settings, state, ledger, link),
        ledger=ledger,
        reporting=reporting,
        judged=lambda: (confidence_of(model(), policy.chosen), similarity_of(policy.chosen)),
        clock=clock,
    )
    return Participation(site)


def limits_of(settings: AgentSettings, chosen: Chosen) -> LearningLimits:
    """Returns this device's limits: those of its configuration, and of the signed policy where that says some; the stricter of both.

    Where the policy that is wanted cannot be had, nobody knows what it says, and the device takes part in nothing.
    """
    own = settings.learning.limits()
    if chosen.trouble:
        return replace(own, enabled=False)
    return own if chosen.learning is None else own.stricter(chosen.learning)


def confidence_of(model: str, chosen: Chosen) -> Confidence:
    """Returns what this device would report of a model's confidence: held against the map of the signed policy in force, if it has one."""
    return Confidence(model, chosen.calibrations.of(CONFIDENCE, model) or SAME)


def similarity_of(chosen: Chosen) -> Similarity:
    """Returns what this device would report of its cache's answers to similar questions, likewise."""
    return Similarity(EMBEDDER, chosen.calibrations.of(SIMILARITY, EMBEDDER) or SAME)


def condition() -> Condition:
    """Returns how this device is doing now."""
    return Condition(temperature_celsius(), power_watts())


def may_learn(policy: PolicyInForce, link: HubLink, around: Callable[[], Surroundings]) -> MayLearn:
    """Returns what says whether the policy in force now lets an answer be counted, too: it may be stricter than when it was given."""

    def decide(receipt: Mapping[str, Any]) -> bool:
        data_class = stored_class(receipt["data_class"])
        classification = Classification(data_class, tuple(receipt["data_kinds"]))
        return policy.share(link.identity.agent_id, classification, around()).learn.allowed

    return decide


async def take_roster(settings: AgentSettings, state: StateFolder, ledger: LedgerStore, link: HubLink) -> Roster:
    """Takes the newest signed roster.

    Raises:
        SeawallError: as `RosterTaker.take` says.
    """
    identity = rooted(link.identity)
    async with open_source(settings.update.source, identity, link) as source:
        trust = await open_trust(state.learning, source, identity, settings.update)
        chunks = await asyncio.to_thread(ChunkFolder, state.learning / "chunks")
        fetcher = Fetcher(chunks, Pace(PaceSettings(settings.update.bytes_per_second), datetime.now), random.SystemRandom())
        return await RosterTaker(trust, fetcher, chunks, KeptRoster(state.learning), ledger, settings.learning.roster).take(source)


def _device(state: StateFolder) -> Device:
    return Device(state.identity.read().agent_id, state.identity.member_key())
