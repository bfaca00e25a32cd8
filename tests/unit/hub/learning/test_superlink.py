"""What is used of Flower's insides on both sides: these fail when they change."""

import asyncio
from base64 import b64encode
from typing import Any

import httpx
import pytest
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES

from agent.learning.flower_child import Fleet, Over
from contract.carrying import ENTRY, MOST_BYTES, RECORD, Frame, FrameKind
from hub.learning.flower import KEY_HEADER, PATHS
from hub.learning.front import SILENT_SECONDS, Front
from tests.fakes.fleet_agent import eventually
from tests.fakes.fleet_api import FleetApi, ask, here


@pytest.fixture
async def api() -> FleetApi:
    return FleetApi()


async def come(api: FleetApi, agent: str) -> Fleet:
    node = api.node(agent)
    await here(node.activate)
    return node


async def answered(api: FleetApi, node: Fleet, agent: str, body: bytes, answer: bytes | None) -> bytes:
    """One stage; returns what the device has seen."""
    api.front.send(agent, 1, body, 60.0)
    message = await here(node.pull)
    await here(node.push, message, answer)
    seen = message.content.config_records[RECORD][ENTRY]
    assert isinstance(seen, bytes)
    return seen


@pytest.mark.parametrize("size_bytes", [0, 1, 8 * 1024, MOST_BYTES])
async def test_a_message_and_its_answer_arrive_as_they_were_sent(api: FleetApi, size_bytes: int) -> None:
    body, answer = bytes(size_bytes), b"\xff" * size_bytes
    node = await come(api, "a1")
    assert await answered(api, node, "a1", body, answer) == body
    assert Frame(FrameKind.ANSWER, 1, "a1", answer) in api.told


async def test_many_stages_follow_each_other_and_leave_nothing_behind(api: FleetApi) -> None:
    node = await come(api, "a1")
    for stage in range(1, 6):
        api.front.send("a1", stage, b"stage", 60.0)
        await here(node.push, await here(node.pull), b"answer")
    assert [frame.stage for frame in api.told if frame.kind is FrameKind.ANSWER] == [1, 2, 3, 4, 5]
    state = api.superlink._state
    assert (state.num_message_ins(), state.num_message_res(), len(state.object_store)) == (0, 0, 0)


async def test_a_device_that_refuses_says_no_more_than_that(api: FleetApi) -> None:
    node = await come(api, "a1")
    await answered(api, node, "a1", b"body", None)
    assert api.told[-1] == Frame(FrameKind.REFUSAL, 1, "a1")


async def test_a_pull_waits_until_there_is_something(api: FleetApi) -> None:
    node = await come(api, "a1")
    pulling = asyncio.create_task(here(node.pull))
    await eventually(lambda: (FrameKind.PRESENT, "a1") in api.kinds())
    assert not pulling.done()
    api.front.send("a1", 1, b"body", 60.0)
    assert (await pulling).content.config_records[RECORD][ENTRY] == b"body"


async def test_who_has_not_come_has_refused(api: FleetApi) -> None:
    api.node("a1")
    api.front.send("a1", 3, b"body", 60.0)
    api.front.send("nobody", 3, b"body", 60.0)
    assert api.told == [Frame(FrameKind.REFUSAL, 3, "a1"), Frame(FrameKind.REFUSAL, 3, "nobody")]


async def test_a_key_that_was_not_admitted_is_refused_before_its_body_is_read(api: FleetApi) -> None:
    stranger = api.node("a1", admitted=False)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await here(stranger._client.PullMessages, PullMessagesRequest())
    assert caught.value.response.status_code == 401


async def test_an_admitted_key_without_its_private_half_is_refused(api: FleetApi) -> None:
    node, other = await come(api, "a1"), await come(api, "a2")
    with pytest.raises(httpx.HTTPStatusError) as caught:  # a2 signs, and says that it is a1's node
        await here(other._client.PullMessages, PullMessagesRequest(node=node._node))
    assert caught.value.response.status_code == 401


async def test_the_first_key_of_an_agent_stays_and_another_agent_cannot_have_it(api: FleetApi) -> None:
    node = await come(api, "a1")
    api.door.admit(api.front, "a1", b"another")
    api.door.admit(api.front, "a2", node._public_key)
    api.front.send("a2", 1, b"for a2", 60.0)
    assert api.told == [Frame(FrameKind.REFUSAL, 1, "a2")]
    assert await answered(api, node, "a1", b"body", b"answer") == b"body"


async def test_the_key_of_another_cohorts_agent_is_nobodys(api: FleetApi) -> None:
    node = await come(api, "a1")
    other = Front(api.told.append)
    api.door.fronts = {0: other, **api.door.fronts}
    api.door.admit(other, "b1", node._public_key)
    other.send("b1", 1, b"for b1", 60.0)
    assert api.told == [Frame(FrameKind.REFUSAL, 1, "b1")]
    assert await answered(api, node, "a1", b"body", b"answer") == b"body"


async def test_an_answer_in_another_nodes_name_is_refused(api: FleetApi) -> None:
    victim, attacker = await come(api, "a1"), await come(api, "a2")
    api.front.send("a1", 1, b"body", 60.0)
    message = await here(victim.pull)
    with pytest.raises(Over):
        await here(attacker.push, message, b"forged")
    assert not [frame for frame in api.told if frame.kind is FrameKind.ANSWER]
    await here(victim.push, message, b"true")
    assert api.told[-1] == Frame(FrameKind.ANSWER, 1, "a1", b"true")


async def test_a_body_in_chunks_is_refused_whatever_length_it_says(api: FleetApi) -> None:
    node = await come(api, "a1")
    headers = [(KEY_HEADER, b64encode(node._public_key)), (b"content-length", b"1")]
    path = next(iter(PATHS))
    assert (await ask(api.door, path, [*headers, (b"transfer-encoding", b"chunked")], b""))[0] == 413
    assert (await ask(api.door, path, headers, b""))[0] != 413


async def test_who_is_expelled_comes_no_more_and_is_not_there(api: FleetApi) -> None:
    node = await come(api, "a1")
    pulling = asyncio.create_task(here(node.pull))
    await eventually(lambda: (FrameKind.PRESENT, "a1") in api.kinds())
    api.front.expel("a1")
    with pytest.raises(Over):
        await pulling
    assert api.told[-1] == Frame(FrameKind.ABSENT, 0, "a1")
    with pytest.raises(Over):
        await here(node.activate)


async def test_a_node_that_falls_silent_is_not_there_until_it_asks_again(api: FleetApi) -> None:
    node = await come(api, "a1")
    await answered(api, node, "a1", b"body", b"answer")
    api.now += SILENT_SECONDS - 1
    api.front.look()
    assert api.kinds()[-1] == (FrameKind.ANSWER, "a1")
    api.now += 2
    api.front.look()
    assert api.kinds()[-1] == (FrameKind.ABSENT, "a1")
    await answered(api, node, "a1", b"body", b"answer")
    assert api.kinds()[-2:] == [(FrameKind.PRESENT, "a1"), (FrameKind.ANSWER, "a1")]


async def test_all_who_are_there_hear_of_the_end(api: FleetApi) -> None:
    nodes = [await come(api, agent) for agent in ("a1", "a2")]
    pulls = [asyncio.create_task(here(node.pull)) for node in nodes]
    await eventually(lambda: len(api.told) == 2)
    assert not api.front.known_to_be_over.is_set()
    api.front.end()
    for pull in pulls:
        with pytest.raises(Over):
            await pull
    assert api.front.known_to_be_over.is_set()


async def test_flower_keeps_the_run_for_as_long_as_it_is_told_to(api: FleetApi) -> None:
    state: Any = api.superlink._state
    before = state.task_token_store[api.superlink._task].active_until
    api.superlink.beat()
    assert state.task_token_store[api.superlink._task].active_until > before


async def test_nothing_but_what_a_node_asks_for_is_there(api: FleetApi) -> None:
    """Of all that Flower serves. Control and Runtime are not even behind the door."""
    key = b64encode((await come(api, "a1"))._public_key)
    headers = [(KEY_HEADER, key), (b"content-type", PROTOBUF_MEDIA_TYPE.encode()), (b"content-length", b"0")]
    others = {path for _, path in PROTOBUF_REQUEST_TYPES} - PATHS
    assert any(path.startswith("/v1/control/") for path in others)
    for path in sorted(others | {"/docs", "/openapi.json", "/health", "/"}):
        assert (await ask(api.door, path, headers, b""))[0] == 404, path
        if not path.startswith("/v1/fleet/"):
            assert (await ask(api.superlink.app, path, headers, b""))[0] == 404, path
