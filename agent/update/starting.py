"""Which model serves when the agent starts: the current slot's, else the other's, else that of the configuration, else none."""

import asyncio
from pathlib import Path

import structlog

from agent.inference.current import CurrentModel
from agent.update.slots import Slots, Started
from contract.errors import InvalidRequest, SeawallError

_NO_MODEL = "This device has no model that can be used: its operator sees why by seawall-agent status. Ask again when it has one."

_log = structlog.get_logger(__name__)


async def open_model(models: CurrentModel, slots: Slots, bundle: Path) -> tuple[str, ...]:
    """Loads the model that is to serve; returns what was wrong on the way.

    Args:
        models: empty yet.
        slots: not read yet.
        bundle: the folder that the configuration names.

    Raises:
        SeawallError: no slot was ever used, and the configuration's bundle cannot be; or the machine has too little memory.
    """
    return await serve(models, slots, await asyncio.to_thread(slots.start), bundle)


async def serve(models: CurrentModel, slots: Slots, found: Started, bundle: Path) -> tuple[str, ...]:
    """Loads what was found, or what comes after it; returns what was wrong on the way.

    Args:
        models: that answer.
        slots: as they were read.
        found: in them.
        bundle: the folder that the configuration names.

    Raises:
        SeawallError: as `open_model`.
    """
    problems, last = [*found.problems], found.last
    while found.bundle is not None:
        try:
            await models.exchange(found.bundle)
        except InvalidRequest as error:
            found = await asyncio.to_thread(slots.reject, error.message)
            problems += found.problems
            last = found.last or last
        else:
            return tuple(problems)
    try:
        await models.exchange(bundle)
    except SeawallError as error:
        if not slots.is_used:
            raise
        problems.append(error.message)
        _log.error("no model serves: prompts are left to the cache and the hub", reason=error.message)
        await models.go_without(_NO_MODEL, last)
    return tuple(problems)
