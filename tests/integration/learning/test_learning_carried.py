"""Rounds over Flower between a real hub and real sessions of agents, each with a child process of its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc.aio
import pytest

from agent.learning.carrier import Answer
from contract.errors import NotPermitted, Reason
from contract.secagg.client import Participant
from contract.secagg.server import Coordinator
from hub.learning.grid import Grid
from seawall.hub.v1 import command_pb2, command_pb2_grpc
from seawall.hub.v1.command_pb2 import Command
from tests.fakes.fleet_agent import eventually
from tests.fakes.learning_site import learning_site
from tests.fakes.secagg_cohort import Cohort

DEADLINE_SECONDS, GATHER_SECONDS, STAGE_SECONDS = 100.0, 60.0, 30.0


async def echo(message: bytes) -> bytes:
    return b"echo of " + message


async def refuse(_message: bytes) -> bytes:
    raise NotPermitted(Reason.WINDOW_SPENT, "This device answers nothing.")


def always(answer: Answer) -> Callable[[], Answer]:
    return lambda: answer


def taking_part(participant: Participant) -> Callable[[], Answer]:
    async def answer(message: bytes) -> bytes:
        return await asyncio.to_thread(participant.receive, message)

    return always(answer)


async def play(coordinator: Coordinator, grid: Grid, lost: str) -> int:
    """Plays a round whose device `lost` is gone once it has shared. Returns how many stages there were."""
    messages, stages = coordinator.invitations(), 0
    while messages:
        if stages == 2:
            messages.pop(lost)
        for agent, answer in (await grid.exchange(messages, STAGE_SECONDS)).items():
            coordinator.receive(agent, answer)
        messages, stages = coordinator.close_stage(), stages + 1
    return stages


async def test_a_secure_sum_over_real_connections_is_exact_though_a_device_is_lost(tmp_path: Path) -> None:
    cohort = Cohort(5, entries=256)
    answers = {agent: taking_part(participant) for agent, participant in cohort.participants().items()}
    coordinator, lost = Coordinator(cohort.plan(), cohort.roster), cohort.agents[2]
    async with learning_site(tmp_path, answers) as site:
        async with site.learning.transport.open(cohort.agents, DEADLINE_SECONDS, GATHER_SECONDS) as grid:
            assert set(grid.reachable()) == set(cohort.agents)
            assert await play(coordinator, grid, lost) == 5
        await eventually(lambda: all(agent.taking_part.state == "waiting, last round: over" for agent in site.agents.values()), 30)
    assert coordinator.sum is not None
    assert coordinator.sum.agents == tuple(agent for agent in cohort.agents if agent != lost)
    assert coordinator.sum.values == cohort.sum_of(coordinator.sum.agents)


async def test_who_is_off_suspended_or_refuses_is_missing_and_the_others_go_on(tmp_path: Path) -> None:
    answers = {"goes-on": always(echo), "off": always(echo), "refuses": always(refuse), "suspended": always(echo)}
    everybody = [*answers, "not-enrolled"]
    async with learning_site(tmp_path, answers, off=frozenset({"off"})) as site:
        async with site.learning.transport.open(everybody, DEADLINE_SECONDS, GATHER_SECONDS) as grid:
            assert set(grid.reachable()) == {"goes-on", "refuses", "suspended"}
            came = await grid.exchange(dict.fromkeys(everybody, b"one"), STAGE_SECONDS)
            assert came == {"goes-on": b"echo of one", "suspended": b"echo of one"}
            await site.suspend("suspended")
            assert await grid.exchange(dict.fromkeys(everybody, b"two"), STAGE_SECONDS) == {"goes-on": b"echo of two"}
            assert set(grid.reachable()) == {"goes-on", "refuses"}
        said = await site.last_command("off")
        assert (said.action, said.state) == (Command.TAKE_PART, Command.FAILED)
        assert "[learning]" in said.error
        assert (await site.last_command("goes-on")).state == Command.SUCCEEDED
        async with site.learning.transport.open(["suspended"], DEADLINE_SECONDS, GATHER_SECONDS) as grid:
            assert not grid.reachable()


async def test_an_operator_cannot_send_an_agent_into_a_round(tmp_path: Path) -> None:
    async with learning_site(tmp_path, {"a1": always(echo)}) as site, site.hub.channel(site.hub.operator) as channel:
        request = command_pb2.CreateCommandRequest(
            parent="agents/a1", command=Command(action=Command.TAKE_PART), request_id="7d0a4bd7-9d55-4c7c-8f6b-6f0d4d3b8f11"
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await command_pb2_grpc.CommandServiceStub(channel).CreateCommand(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
