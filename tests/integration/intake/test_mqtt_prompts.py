import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from agent.later.prompts import LatePrompt
from agent.prompts import Answer
from agent.store.database import Database
from agent.store.inbox import Inbox, NewPrompt, Wanted
from contract.classification import DataClass
from contract.errors import InvalidRequest, PromptTooLong, Reason
from tests.fakes.answerer import FakeAnswerer, Faults, receipt
from tests.fakes.feedback import FakeFeedback
from tests.integration.intake.conftest import StartIntake
from tests.integration.intake.device import PREFIX, Device
from tests.integration.intake.mosquitto import Mosquitto
from tests.integration.intake.waiting import SECONDS, until


@pytest.fixture(params=["5", "3.1.1"])
async def device(request: pytest.FixtureRequest, broker: Mosquitto, start: StartIntake) -> AsyncIterator[Device]:
    """A device whose agent is online; both speak the same version."""
    async with start(broker.port, protocol=request.param), Device(broker.port, request.param) as device:
        await device.until_status("online")
        yield device


@pytest.fixture
async def device5(broker: Mosquitto, start: StartIntake) -> AsyncIterator[Device]:
    async with start(broker.port), Device(broker.port) as device:
        await device.until_status("online")
        yield device


async def test_a_prompt_is_answered_under_its_id(device: Device) -> None:
    await device.send({"id": "p1", "prompt": "one two three"})
    heard = await device.hear()
    assert heard.topic == "answers"
    assert heard.body["id"] == "p1"
    assert heard.body["answer"] == "three two one"
    assert heard.body["finish_reason"] == "stop"
    assert heard.body["usage"] == {"input_tokens": 3, "output_tokens": 3}
    assert heard.body["receipt"]["route"] == "local"


async def test_feedback_is_taken_and_what_is_wrong_with_it_is_told(device: Device, feedback: FakeFeedback) -> None:
    await device.send({"id": "p1", "good": True}, topic="feedback")
    await device.send({"id": "unknown", "good": True}, topic="feedback")
    assert await device.reason() == "ANSWER_NOT_FOUND"
    await device.send({"id": "p1", "prompt": "one"}, topic="feedback")
    assert await device.reason() in ("FIELD_INVALID", "FIELD_UNKNOWN")
    assert await device.heard_until("last") == []
    assert feedback.given == [("device", "p1", True)]


async def test_a_prompt_without_an_id_gets_one(device: Device) -> None:
    await device.send({"prompt": "one"})
    await device.send({"prompt": "one"})
    ids = {(await device.hear()).body["id"], (await device.hear()).body["id"]}
    assert len(ids) == 2


async def test_a_prompt_of_qos_0_is_answered(device: Device) -> None:
    await device.send({"prompt": "one two"}, qos=0)
    assert await device.answer() == "two one"


async def test_pieces_of_a_streamed_answer_come_in_order_and_make_up_the_answer(device: Device) -> None:
    await device.send({"id": "p1", "prompt": "one two three", "stream": True})
    heard = [await device.hear() for _ in range(5)]
    pieces = [message.body for message in heard if message.topic == "chunks"]
    (answer,) = [message.body["answer"] for message in heard if message.topic == "answers"]
    assert [piece["index"] for piece in pieces] == [0, 1, 2, 3]
    assert "".join(piece["delta"] for piece in pieces[:-1]) == answer == "three two one"
    assert pieces[-1] == {"id": "p1", "index": 3, "done": True}


async def test_all_that_a_prompt_says_reaches_the_answerer(device: Device, answerer: FakeAnswerer) -> None:
    await device.send(
        {
            "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "a b"}],
            "conversation": "c1",
            "max_tokens": 5,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 3,
            "seed": 11,
            "repetition_penalty": 1.1,
            "stop": "x",
        }
    )
    assert await device.answer() == "b a"
    (prompt,) = answerer.prompts
    assert prompt.client == "device"
    assert prompt.conversation == "c1"
    assert [message.role for message in prompt.messages] == ["system", "user"]
    sampling = prompt.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (5, 0.5, 0.9, 3)
    assert (sampling.seed, sampling.repetition_penalty, sampling.stop) == (11, 1.1, ("x",))


async def test_the_same_prompt_again_is_answered_once(device: Device) -> None:
    for _ in range(3):
        await device.send({"id": "p1", "prompt": "one two"})
    assert await device.answer() == "two one"
    await device.send({"id": "p1", "prompt": "one two"})
    assert await device.heard_until("last") == []


async def test_an_id_that_was_used_for_another_prompt_is_refused(device: Device) -> None:
    await device.send({"id": "p1", "prompt": "one"})
    assert await device.answer() == "one"
    await device.send({"id": "p1", "prompt": "two"})
    heard = await device.hear()
    assert (heard.topic, heard.body["reason"], heard.body["id"]) == ("answers", "PROMPT_ID_USED", "p1")
    assert heard.body["status"] == 409


BROKEN = [
    (b'{"prompt": "x",}', "JSON_INVALID"),
    (b'{"prompt": NaN}', "JSON_INVALID"),
    (b"[" * 100_000, "JSON_INVALID"),
    (b"", "JSON_INVALID"),
    (b"\xff\xfe{}", "UTF8_INVALID"),
    (b'{"prompt": "\\ud800"}', "UTF8_INVALID"),
    (b'{"promt": "x"}', "FIELD_UNKNOWN"),
    (b'{"prompt": 5}', "FIELD_INVALID"),
    (b'{"prompt": "x", "temperature": 99}', "FIELD_INVALID"),
    (b'{"prompt": "x", "id": "\\u0000"}', "FIELD_INVALID"),
    (b'{"prompt": ""}', "PROMPT_INVALID"),
    (b'{"messages": []}', "PROMPT_INVALID"),
    (b"x" * 1_048_577, "PAYLOAD_TOO_LARGE"),
    (b"x" * 10_000_000, "PAYLOAD_TOO_LARGE"),
]


async def test_a_broken_prompt_gets_its_reason_and_the_next_one_its_answer(device: Device) -> None:
    for payload, reason in BROKEN:
        await device.send(payload)
        assert await device.reason() == reason
    assert await device.heard_until("last") == []


async def test_an_unknown_topic_gets_a_problem(device: Device) -> None:
    await device.send({"id": "p1", "prompt": "one"}, topic="prompt")
    heard = await device.hear()
    assert (heard.topic, heard.body["reason"], heard.body["status"]) == ("answers", "TOPIC_UNKNOWN", 404)
    assert "prompts" in heard.body["detail"]


async def test_what_others_write_to_answers_and_chunks_is_no_prompt(device: Device) -> None:
    await device.send({"prompt": "one"}, topic="answers")
    await device.send({"prompt": "one"}, topic="chunks")
    # The device hears its own two messages, and no problem about them.
    assert [message.body for message in await device.heard_until("last")] == [{"prompt": "one"}] * 2


async def test_a_retained_prompt_is_not_asked_again_at_every_connection(
    broker: Mosquitto, start: StartIntake, answerer: FakeAnswerer
) -> None:
    for version in ("5", "3.1.1"):
        async with Device(broker.port) as device:
            await device.send({"prompt": "old"}, retain=True)
            async with start(broker.port, protocol=version):
                await device.until_status("online")
                await device.heard_until(f"last-{version}")
            broker.stop(kill=True)  # so that the agent's session, and the prompt in it, are gone
        broker.start()
    assert [prompt.messages[0].content for prompt in answerer.prompts] == ["last", "last"]


async def test_the_answer_goes_to_the_response_topic_with_the_correlation_data(device5: Device) -> None:
    await device5.send({"prompt": "one two"}, response_topic=PREFIX + "replies/deep/7", correlation_data=b"\x00\xff")
    heard = await device5.hear()
    assert (heard.topic, heard.body["answer"]) == ("replies/deep/7", "two one")
    assert (heard.correlation_data, heard.content_type) == (b"\x00\xff", "application/json")


async def test_a_better_answer_comes_behind_the_provisional_one_to_the_same_place(
    broker: Mosquitto, start: StartIntake, answerer: FakeAnswerer
) -> None:
    answerer.better_until = datetime.now(UTC) + timedelta(hours=1)
    async with start(broker.port) as intake, Device(broker.port) as device:
        await device.until_status("online")
        await device.send({"id": "p1", "prompt": "one two"}, response_topic=PREFIX + "replies/7", correlation_data=b"\x00\xff")
        provisional = await device.hear()
        late = LatePrompt(answerer.prompts[0], provisional.body["receipt"]["receipt_id"], DataClass.PUBLIC, False)
        async with asyncio.timeout(SECONDS):
            while await intake.better_answers.want(late) is not Wanted.YES:  # noqa: ASYNC110 - the broker's word is on its way to the store
                await asyncio.sleep(0.01)
        await intake.better_answers.give(late, Answer("two, of course", "stop", 1, 3, receipt("p1")))
        better = await device.hear()
    assert "better_until" in provisional.body
    assert (better.topic, better.correlation_data) == (provisional.topic, provisional.correlation_data) == ("replies/7", b"\x00\xff")
    assert (better.body["id"], better.body["answer"], better.body["replaces"]) == ("p1", "two, of course", "receipt-p1")


async def test_an_answer_on_a_topic_like_those_of_prompts_is_not_taken_for_one(device5: Device) -> None:
    await device5.send({"prompt": "one two"}, response_topic=PREFIX + "replies")
    heard = await device5.hear()
    assert (heard.topic, heard.body["answer"]) == ("replies", "two one")
    assert await device5.heard_until("last") == []


async def test_correlation_data_is_an_id_where_there_is_no_other(device5: Device) -> None:
    for _ in range(2):
        await device5.send({"prompt": "one two"}, correlation_data=b"c1")
    assert await device5.answer() == "two one"
    await device5.send({"prompt": "other"}, correlation_data=b"c1")
    assert await device5.reason() == "PROMPT_ID_USED"
    assert await device5.heard_until("last") == []


@pytest.mark.parametrize(
    "response_topic",
    [
        "seawall/v1/agents/agent-1/clients/other/answers",
        "elsewhere",
        PREFIX + "prompts",
        PREFIX,
        PREFIX + "a/#",
        PREFIX + "+",
        PREFIX + "/" * 150,
    ],
)
async def test_a_response_topic_elsewhere_is_refused_on_the_default_topic(device5: Device, response_topic: str) -> None:
    await device5.send({"id": "p1", "prompt": "one"}, response_topic=response_topic, correlation_data=b"c")
    heard = await device5.hear()
    assert (heard.topic, heard.body["reason"], heard.body["id"]) == ("answers", "FIELD_INVALID", "p1")
    assert (heard.correlation_data, heard.content_type) == (b"c", "application/problem+json")
    assert "Response Topic" in heard.body["detail"]


async def test_a_refusal_by_the_pipeline_is_a_problem(device: Device, answerer: FakeAnswerer) -> None:
    answerer.faults = Faults(refusal=PromptTooLong(Reason.PROMPT_TOO_LONG, "The prompt has 9000 tokens, the model takes 2048."))
    await device.send({"id": "p1", "prompt": "long"})
    heard = await device.hear()
    assert (heard.topic, heard.body["reason"], heard.body["id"]) == ("answers", "PROMPT_TOO_LONG", "p1")
    assert heard.body["detail"] == "The prompt has 9000 tokens, the model takes 2048."


@pytest.mark.parametrize(
    "faults",
    [Faults(bug=KeyError("secret")), Faults(silent=True), Faults(late_refusal=InvalidRequest(Reason.PROMPT_INVALID, "late"))],
)
async def test_an_answer_that_fails_is_a_problem_and_the_next_one_comes(device5: Device, answerer: FakeAnswerer, faults: Faults) -> None:
    answerer.faults = faults
    await device5.send({"id": "p1", "prompt": "one"})
    heard = await device5.hear()
    assert heard.body["reason"] == ("PROMPT_INVALID" if faults.late_refusal else "INTERNAL")
    assert "secret" not in str(heard.body)
    answerer.faults = Faults()
    assert await device5.heard_until("last") == []


async def test_no_more_prompts_are_worked_on_at_once_than_set(broker: Mosquitto, start: StartIntake, answerer: FakeAnswerer) -> None:
    gate = answerer.gate = asyncio.Event()
    async with start(broker.port, max_concurrent_prompts=3), Device(broker.port) as device:
        await device.until_status("online")
        for number in range(6):
            await device.send({"prompt": f"a {number}"})
        for _ in range(10):  # round trips, in which too many would begin
            await device.send(b"")
            assert await device.reason() == "JSON_INVALID"
        assert answerer.at_once == 3
        gate.set()
        assert {await device.answer() for _ in range(6)} == {f"{number} a" for number in range(6)}
    assert answerer.most_at_once == 3


async def test_more_prompts_than_may_wait_are_refused_and_may_come_again(
    broker: Mosquitto, start: StartIntake, answerer: FakeAnswerer
) -> None:
    gate = answerer.gate = asyncio.Event()
    async with start(broker.port, max_concurrent_prompts=1, max_waiting_prompts=2), Device(broker.port) as device:
        await device.until_status("online")
        for number in range(3):
            await device.send({"id": str(number), "prompt": f"a {number}"})
        heard = await device.hear()
        assert (heard.body["id"], heard.body["reason"], heard.body["status"]) == ("2", "QUEUE_FULL", 429)
        gate.set()
        assert [await device.answer() for _ in range(2)] == ["0 a", "1 a"]
        await device.send({"id": "2", "prompt": "a 2"})
        assert await device.answer() == "2 a"


async def test_an_answer_under_way_is_cancelled_when_the_agent_stops_and_begun_again_when_it_returns(
    broker: Mosquitto, start: StartIntake, answerer: FakeAnswerer
) -> None:
    answerer.gate = asyncio.Event()
    async with Device(broker.port) as device:
        async with start(broker.port):
            await device.until_status("online")
            await device.send({"id": "p1", "prompt": "one two"})
            await until(answerer.begun.is_set)
        assert answerer.cancelled == ["p1"]
        answerer.gate.set()
        async with start(broker.port):
            assert await device.answer() == "two one"


async def test_an_id_may_be_used_again_when_it_was_forgotten(broker: Mosquitto, start: StartIntake, database: Database) -> None:
    async with start(broker.port, retention_seconds=0.1), Device(broker.port) as device:
        await device.until_status("online")
        for name in ("p1", "p2"):
            await device.send({"id": name, "prompt": "one"})
            assert await device.answer() == "one"
        async with asyncio.timeout(SECONDS):
            while await database.run(lambda tables: tables.table("inbox").count) > 1:
                await device.send(b"")
                await device.reason()
        await device.send({"id": "p1", "prompt": "one two"})
        assert await device.answer() == "two one"


async def test_more_of_qos_0_than_can_be_held_is_dropped_and_the_next_prompt_is_answered(
    broker: Mosquitto, start: StartIntake, database: Database
) -> None:
    slow = SlowInbox(database)
    with capture_logs() as logs:
        async with start(broker.port, inbox=slow), Device(broker.port) as device:
            await device.until_status("online")
            for number in range(20):
                await device.send({"id": str(number), "prompt": f"{number} " + "x" * 1_000_000}, qos=0)
            await until(lambda: any(entry["event"] == "prompt_dropped" for entry in logs))
            slow.gate.set()
            heard = await device.heard_until("last")
    assert 10 < len(heard) < 20


class SlowInbox(Inbox):
    """Takes nothing before its gate is opened."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.gate = asyncio.Event()

    async def put(self, prompt: NewPrompt, max_waiting: int) -> bool:
        await self.gate.wait()
        return await super().put(prompt, max_waiting)
