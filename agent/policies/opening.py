"""Puts together what takes a signed policy."""

import random
from datetime import datetime

from agent.config import AgentSettings
from agent.policies.kept import KeptPolicy
from agent.policies.taking import PolicyTaker, Taken
from agent.state import StateFolder
from agent.update.chunk_folder import ChunkFolder
from agent.update.fetcher import Fetcher
from agent.update.opening import open_source, open_trust, rooted
from agent.update.pacing import Pace, PaceSettings
from contract.errors import InvalidRequest, Reason


def kept_policy(state: StateFolder) -> KeptPolicy:
    """Returns the place of the signed policy."""
    return KeptPolicy(state.policies)


async def take_policy(settings: AgentSettings, state: StateFolder, source_name: str = "") -> Taken:
    """Takes a newer version of the policy that the settings name.

    Args:
        settings: of the agent.
        state: its folder.
        source_name: where from; empty: as the settings say.

    Raises:
        InvalidRequest: CONFIG_INVALID, the settings name none.
        SeawallError: as `PolicyTaker.take` says.
    """
    if not settings.privacy.signed_policy:
        raise InvalidRequest(Reason.CONFIG_INVALID, "This agent follows no signed policy: name one as [privacy] signed_policy.")
    identity = rooted(state.identity.read())
    async with open_source(source_name or settings.update.source, identity) as source:
        trust = await open_trust(state.policies, source, identity, settings.update)
        chunks = ChunkFolder(state.policies / "chunks")
        fetcher = Fetcher(chunks, Pace(PaceSettings(settings.update.bytes_per_second), datetime.now), random.SystemRandom())
        return await PolicyTaker(trust, fetcher, chunks, kept_policy(state), settings.privacy.signed_policy).take(source)
