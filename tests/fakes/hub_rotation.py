"""The steps of a CA rotation as an operator does them, each waited for until a running hub has taken it up."""

import asyncio
from datetime import timedelta

from agent.identity.trust import fetch_ca
from contract.errors import NotAuthenticated
from contract.identity import JoinToken
from hub import rotation
from hub.clock import utc_now
from hub.fleet.authorities import Trust
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub

COMEBACK = timedelta(days=100)


def trust(hub: RunningHub) -> Trust:
    """As the folder has it."""
    return hub.folder.load_trust(hub.settings.trust_domain, utc_now)


async def rotate(hub: RunningHub) -> None:
    """Makes a new CA."""
    after = rotation.rotate(hub.folder, trust(hub), COMEBACK)
    await eventually(lambda: is_shown(hub, after.key_hashes[0]))


async def finish(hub: RunningHub) -> None:
    """Trusts the outgoing CA no more."""
    outgoing = trust(hub).key_hashes[1]
    rotation.finish(hub.folder, trust(hub))

    async def is_gone() -> bool:
        return not await is_shown(hub, outgoing)

    await eventually(is_gone)


async def is_shown(hub: RunningHub, ca_key_hash: str) -> bool:
    """Whether a first contact with a token of this CA is sure that it is with its hub."""
    token = JoinToken("0" * 16, "0" * 64, ca_key_hash)
    try:
        await asyncio.to_thread(fetch_ca, "127.0.0.1", hub.hub.enrollment_port, token)
    except NotAuthenticated:
        return False
    return True
