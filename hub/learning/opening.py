"""Puts together what rounds of learning are played with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography import x509

from hub.clock import Clock
from hub.fleet.enrollment import Randomness
from hub.fleet.fleet import Fleet
from hub.fleet.upkeep import beside
from hub.folder import DataFolder
from hub.learning.carriers import Carriers, Site
from hub.learning.invitations import Invitations
from hub.learning.role import Role
from hub.learning.transport import Transport


@dataclass(frozen=True, slots=True)
class Learning:
    """The parts.

    Args:
        role: whether this process is the one that plays rounds.
        transport: opens what carries the round of a cohort.
    """

    role: Role
    transport: Transport


@asynccontextmanager
async def open_learning(listen: str, folder: DataFolder, fleet: Fleet, clock: Clock, randomness: Randomness) -> AsyncIterator[Learning]:
    """Opens it until the block ends.

    Args:
        listen: `host:port` of the Fleet API.
        folder: with the server's certificate, whose names agents know the hub by.
        fleet: the agents.
        clock: the time, in UTC.
        randomness: returns so many random bytes.

    Raises:
        NotPossibleNow: CONFIG_INVALID, Flower is not installed.
    """

    def names() -> x509.SubjectAlternativeName:
        return folder.server.load()[1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    role, invitations = Role(fleet.database), Invitations(fleet.database, fleet.journal, clock)
    carriers = Carriers(Site(listen, names), clock)
    learning = Learning(role, Transport(carriers, lambda: role.is_held, fleet.database, invitations.invite, randomness))
    async with beside([learning.role.run]):
        yield learning
