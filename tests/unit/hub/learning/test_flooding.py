"""What one device can leave in the memory of the hub's child with a key that was let in: no more than one that is honest."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from flwr.app import Message
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from agent.learning.flower_child import Fleet
from contract.carrying import LONGEST_ROUND_SECONDS, MOST_BYTES, Frame, FrameKind
from hub.learning.answers import MOST_OBJECTS
from hub.learning.door import MOST_BODY_BYTES, MOST_OTHER_BODY_BYTES
from hub.learning.flower import KEY_HEADER, PATHS, PULL, PUSH_OBJECT
from hub.learning.front import MOST_AT_ONCE
from tests.fakes.fleet_agent import eventually
from tests.fakes.fleet_api import FleetApi, ask, here
from tests.fakes.flower_forger import Forged, record


@pytest.fixture
async def api() -> FleetApi:
    return FleetApi()


async def come(api: FleetApi) -> Fleet:
    node = api.node("a1")
    await here(node.activate)
    return node


async def asked(api: FleetApi, node: Fleet, stage: int = 1) -> Message:
    api.front.send("a1", stage, b"body", 60.0)
    return await here(node.pull)


def kept(api: FleetApi) -> tuple[int, ...]:
    """How much Flower has."""
    state: Any = api.superlink._state
    stored = sum(len(each.content) for each in state.object_store.store.values())
    counts = (state.nodes, state.message_res_store, state.object_store, state._object_push_sessions, state._object_push_session_by_root)
    return stored, *map(len, counts)


async def status_of(work: Callable[..., object], *arguments: object) -> int:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await here(work, *arguments)
    return caught.value.response.status_code


async def test_an_answer_that_announces_many_objects_is_refused(api: FleetApi) -> None:
    node = await come(api)
    answer = Forged(node, await asked(api, node))
    more = [ObjectTree(object_id=os.urandom(32).hex()) for _ in range(MOST_OBJECTS + 1 - len(answer.objects))]
    before = kept(api)
    assert await status_of(answer.announce, answer.with_more(*more)) == 403
    assert kept(api) == before
    assert len((await here(answer.announce, answer.with_more(*more[1:]))).objects_to_push) == MOST_OBJECTS


async def test_an_answer_is_announced_again_with_the_same_objects_and_no_others(api: FleetApi) -> None:
    node = await come(api)
    answer = Forged(node, await asked(api, node))
    first = await here(answer.announce)
    before = kept(api)
    for other in (get_object_tree(record(b"junk")), answer.with_more(get_object_tree(record(b"junk")))):
        assert await status_of(answer.announce, other) == 403
    again = await here(answer.announce)
    assert again.objects_to_push == first.objects_to_push
    assert kept(api) == before
    await here(answer.give)
    assert api.told[-1] == Frame(FrameKind.ANSWER, 1, "a1", b"answer")


async def test_a_device_that_does_not_know_whether_its_answer_came_may_bring_it_again(api: FleetApi) -> None:
    node = await come(api)
    answer = Forged(node, await asked(api, node))
    await here(answer.give)
    told = list(api.told)
    await here(answer.give)
    for object_id, each in answer.objects.items():
        assert not await here(answer.bring, object_id, each.deflate(), "")
    assert api.told == told


async def test_an_answer_to_nothing_that_was_asked_or_a_second_one_leaves_no_trace(api: FleetApi) -> None:
    node = await come(api)
    message = await asked(api, node)
    await here(Forged(node, message).announce)
    before = kept(api)
    assert await status_of(Forged(node, message, b"another").announce) == 403
    message.metadata.__dict__["_message_id"] = "0" * 64
    assert await status_of(Forged(node, message).announce) == 403
    assert kept(api) == before


async def test_an_object_that_was_not_announced_is_refused(api: FleetApi) -> None:
    node = await come(api)
    answer = Forged(node, await asked(api, node))
    session = (await here(answer.announce)).session_id
    for object_id, each in get_all_nested_objects(record(b"junk")).items():
        assert await status_of(answer.bring, object_id, each.deflate(), session) == 403


async def test_the_objects_of_an_answer_are_no_longer_together_than_the_longest_message(api: FleetApi) -> None:
    node = await come(api)
    answer = Forged(node, await asked(api, node))
    junk = [record(os.urandom(MOST_BYTES // 2)) for _ in range(3)]
    objects = {object_id: each.deflate() for one in junk for object_id, each in get_all_nested_objects(one).items()}
    flat = [ObjectTree(object_id=object_id) for object_id, content in objects.items() if len(content) > MOST_BYTES // 2]
    session = (await here(answer.announce, answer.with_more(*flat))).session_id
    for each in flat[:2]:
        assert await here(answer.bring, each.object_id, objects[each.object_id], session)
    assert await status_of(answer.bring, flat[2].object_id, objects[flat[2].object_id], session) == 403


async def test_what_an_answer_brought_goes_with_it_though_it_belongs_to_nothing(api: FleetApi) -> None:
    """A tree that has its root within itself: Flower counts what is beside that as nobody's, and would keep it."""
    node = await come(api)
    before = kept(api)
    answer, junk = Forged(node, await asked(api, node)), record(b"junk")
    objects = {**answer.objects, **get_all_nested_objects(junk)}
    first = await here(answer.announce, ObjectTree(object_id=answer.tree.object_id, children=[answer.tree, get_object_tree(junk)]))
    for object_id in sorted(set(first.objects_to_push), key=lambda each: each == answer.tree.object_id):
        assert await here(answer.bring, object_id, objects[object_id].deflate(), first.session_id)
    assert api.told[-1] == Frame(FrameKind.ANSWER, 1, "a1", b"answer")
    assert kept(api) == before


async def test_to_come_confirm_and_ask_again_and_again_leaves_nothing(api: FleetApi) -> None:
    node = await come(api)
    message = await asked(api, node)
    named: dict[str, Any] = {"node": node._node, "run_id": message.metadata.run_id}
    before = kept(api)
    for number in range(20):
        object_id = f"{number:064x}"
        with suppress(httpx.HTTPStatusError):
            await here(
                node._client.ActivateNode, ActivateNodeRequest(public_key=node._public_key, heartbeat_interval=LONGEST_ROUND_SECONDS)
            )
        await here(node._client.PullObject, PullObjectRequest(object_id=object_id, **named))
        await here(node._client.ConfirmMessageReceived, ConfirmMessageReceivedRequest(message_object_id=object_id, **named))
    assert kept(api) == before


async def test_a_body_is_as_long_as_its_path_needs(api: FleetApi) -> None:
    key = (KEY_HEADER, b64encode((await come(api))._public_key))
    for path in PATHS:
        most = MOST_BODY_BYTES if path == PUSH_OBJECT else MOST_OTHER_BODY_BYTES
        assert (await ask(api.door, path, [key, (b"content-length", b"%d" % (most + 1))], b""))[0] == 413, path
        assert (await ask(api.door, path, [key, (b"content-length", b"%d" % most)], b""))[0] != 413, path


async def test_a_node_has_few_requests_at_once_and_one_too_many_is_told_to_come_later(api: FleetApi) -> None:
    node = await come(api)
    pulls = [asyncio.create_task(here(node.pull)) for _ in range(MOST_AT_ONCE)]
    [held] = api.front._by_agent.values()
    await eventually(lambda: held.under_way == MOST_AT_ONCE)
    headers = [(KEY_HEADER, b64encode(node._public_key)), (b"content-length", b"0")]
    assert (await ask(api.door, PULL, headers, b""))[0] == 503
    api.front.end()
    for _ in pulls:
        held.waiting.release()
    await asyncio.gather(*pulls, return_exceptions=True)
    assert held.under_way == 0


async def test_a_request_without_a_signature_is_never_held(api: FleetApi) -> None:
    """Flower verifies none of another method."""
    headers = [(KEY_HEADER, b64encode((await come(api))._public_key)), (b"content-length", b"0")]
    assert (await ask(api.door, PULL, headers, b"", "GET"))[0] == 404
    assert not api.told
