import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.inbox import Inbox, NewPrompt, Wanted
from agent.store.subjects import Subject
from contract.errors import Busy, Conflict, Reason, Unavailable

NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
PROMPT = NewPrompt("device", "p1", b'{"prompt":"one"}', "a/answers", b"\x00c", NOW)
PLENTY = 100


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "agent.db")
    yield database
    database.close()


@pytest.fixture
def inbox(database: Database) -> Inbox:
    return Inbox(database)


async def begun(inbox: Inbox, after: int = 0) -> int:
    entry = await inbox.begin(after)
    assert entry is not None
    return entry.sequence


async def test_a_prompt_comes_out_as_it_went_in(inbox: Inbox) -> None:
    assert await inbox.put(PROMPT, PLENTY)
    entry = await inbox.begin(0)
    assert entry is not None
    assert (entry.client, entry.prompt_id, entry.payload) == ("device", "p1", PROMPT.payload)
    assert (entry.response_topic, entry.correlation_data, entry.received_time) == ("a/answers", b"\x00c", NOW)
    assert (entry.answer, entry.content_type, entry.attempts) == (None, None, 1)


async def test_the_same_prompt_again_is_not_taken_at_any_stage(inbox: Inbox) -> None:
    assert await inbox.put(PROMPT, PLENTY)
    assert not await inbox.put(PROMPT, PLENTY)
    sequence = await begun(inbox)
    await inbox.set_answer(sequence, b"answer", "text/plain")
    assert not await inbox.put(PROMPT, PLENTY)
    await inbox.set_delivered(sequence, NOW)
    assert not await inbox.put(PROMPT, PLENTY)


async def test_an_id_is_not_taken_for_another_prompt_but_another_client_may_use_it(inbox: Inbox) -> None:
    await inbox.put(PROMPT, PLENTY)
    with pytest.raises(Conflict) as refused:
        await inbox.put(replace(PROMPT, payload=b"other"), PLENTY)
    assert refused.value.reason == Reason.PROMPT_ID_USED
    assert await inbox.put(replace(PROMPT, client="other"), PLENTY)


async def test_no_more_wait_than_may_and_answered_ones_do_not_count(inbox: Inbox) -> None:
    await inbox.put(PROMPT, 1)
    with pytest.raises(Busy) as refused:
        await inbox.put(replace(PROMPT, prompt_id="p2"), 1)
    assert refused.value.reason == Reason.QUEUE_FULL
    assert not await inbox.put(PROMPT, 1)
    await inbox.set_answer(await begun(inbox), b"answer", "text/plain")
    assert await inbox.put(replace(PROMPT, prompt_id="p2"), 1)


async def test_prompts_are_begun_in_the_order_of_arrival_and_attempts_are_counted(inbox: Inbox) -> None:
    for name in ("p1", "p2", "p3"):
        await inbox.put(replace(PROMPT, prompt_id=name), PLENTY)
    order = []
    last = 0
    while (entry := await inbox.begin(last)) is not None:
        order.append((entry.prompt_id, entry.attempts))
        last = entry.sequence
    assert order == [("p1", 1), ("p2", 1), ("p3", 1)]
    again = await inbox.begin(0)
    assert again is not None
    assert (again.prompt_id, again.attempts) == ("p1", 2)


async def test_an_answer_is_undelivered_until_it_is_marked_oldest_first(inbox: Inbox) -> None:
    for name in ("p1", "p2", "p3"):
        await inbox.put(replace(PROMPT, prompt_id=name), PLENTY)
    first = await begun(inbox)
    second = await begun(inbox, first)
    await inbox.set_answer(second, b"2", "text/plain")
    await inbox.set_answer(first, b"1", "text/plain")
    entries = await inbox.undelivered(10)
    assert [(entry.prompt_id, entry.answer, entry.content_type) for entry in entries] == [
        ("p1", b"1", "text/plain"),
        ("p2", b"2", "text/plain"),
    ]
    assert [entry.correlation_data for entry in entries] == [b"\x00c", b"\x00c"]
    assert len(await inbox.undelivered(1)) == 1
    await inbox.set_delivered(first, NOW)
    assert [entry.prompt_id for entry in await inbox.undelivered(10)] == ["p2"]


async def test_texts_are_dropped_as_soon_as_they_are_not_needed(inbox: Inbox, database: Database) -> None:
    await inbox.put(PROMPT, PLENTY)
    assert all(await texts(database))
    sequence = await begun(inbox)
    await inbox.set_answer(sequence, b"answer", "text/plain")
    assert (await texts(database))[0] == b""
    await inbox.set_delivered(sequence, NOW)
    assert await texts(database) == [b"", b""]


async def texts(database: Database) -> list[bytes]:
    """The payload, and the answer where there is one."""
    (row,) = await database.run(lambda tables: list(tables.table("inbox").rows))
    return [row["payload"], *([] if row["answer"] is None else [row["answer"]])]


async def test_what_was_asked_and_answered_is_sealed_and_its_digest_is_of_this_device_alone(tmp_path: Path) -> None:
    rows = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        database = Database(tmp_path / name / "agent.db")
        inbox = Inbox(database)
        await inbox.put(replace(PROMPT, payload=b"the prompt's text"), PLENTY)
        await inbox.set_answer(await begun(inbox), b"the answer's text", "text/plain")
        await inbox.put(replace(PROMPT, prompt_id="p2", payload=b"the prompt's text"), PLENTY)
        rows.append((await database.run(lambda tables: list(tables.table("inbox").rows)))[0])
        raw = b"".join(path.read_bytes() for path in (tmp_path / name).iterdir())
        database.close()
        assert b"'s text" not in raw
        assert hashlib.sha256(b"the prompt's text").hexdigest().encode() not in raw
    assert rows[0]["payload_digest"] != rows[1]["payload_digest"]


async def test_what_can_no_longer_be_opened_is_none_and_its_answer_is_kept_all_the_same(inbox: Inbox, database: Database) -> None:
    for name in ("p1", "p2"):
        await inbox.put(replace(PROMPT, prompt_id=name), PLENTY)
    first = await begun(inbox)
    await inbox.set_answer(first, b"answer", "text/plain")
    await database.run(lambda tables: tables.execute("UPDATE subject_keys SET wrapped = x'00'"))
    entry = await inbox.begin(first)
    assert entry is not None
    assert entry.payload is None
    await inbox.set_answer(entry.sequence, b"lost", "text/plain")
    assert [(kept.prompt_id, kept.answer) for kept in await inbox.undelivered(10)] == [("p1", None), ("p2", b"lost")]


async def test_an_answer_for_a_client_that_was_forgotten_goes_nowhere(inbox: Inbox, database: Database) -> None:
    await inbox.put(replace(PROMPT, conversation="tea"), PLENTY)
    sequence = await begun(inbox)
    await forget(database, Subject("device"), NOW.timestamp())
    await inbox.set_answer(sequence, b"answer", "text/plain")
    assert await inbox.undelivered(10) == []
    await inbox.put(replace(PROMPT, prompt_id="p2"), PLENTY)
    assert await begun(inbox, after=sequence) > sequence


async def test_only_what_was_delivered_before_a_time_is_forgotten(inbox: Inbox) -> None:
    for name in ("old", "new", "undelivered"):
        await inbox.put(replace(PROMPT, prompt_id=name), PLENTY)
    old = await begun(inbox)
    new = await begun(inbox, old)
    for sequence, time in ((old, NOW), (new, NOW + timedelta(hours=2))):
        await inbox.set_answer(sequence, b"answer", "text/plain")
        await inbox.set_delivered(sequence, time)
    await inbox.forget(NOW + timedelta(hours=1), NOW)
    assert await inbox.put(replace(PROMPT, prompt_id="old"), PLENTY)
    assert not await inbox.put(replace(PROMPT, prompt_id="new"), PLENTY)
    assert not await inbox.put(replace(PROMPT, prompt_id="undelivered"), PLENTY)


async def test_a_sequence_number_is_not_given_twice_after_all_is_forgotten(inbox: Inbox) -> None:
    """Else a worker that asks for what comes behind the last one would pass over it."""
    await inbox.put(PROMPT, PLENTY)
    sequence = await begun(inbox)
    await inbox.set_answer(sequence, b"answer", "text/plain")
    await inbox.set_delivered(sequence, NOW)
    await inbox.forget(NOW + timedelta(days=1), NOW)
    await inbox.put(replace(PROMPT, prompt_id="p2"), PLENTY)
    assert await begun(inbox, after=sequence) > sequence


def by_packet(prompt_id: str, packet_id: int, redelivered: bool = False) -> NewPrompt:
    return replace(PROMPT, prompt_id=prompt_id, packet_id=packet_id, redelivered=redelivered)


async def test_a_packet_that_is_sent_again_is_known_by_its_packet_id(inbox: Inbox) -> None:
    assert await inbox.put(by_packet("made-up-1", 5), PLENTY)
    assert not await inbox.put(by_packet("made-up-2", 5, redelivered=True), PLENTY)


async def test_equal_payloads_in_packets_of_their_own_are_different_prompts(inbox: Inbox) -> None:
    assert await inbox.put(by_packet("made-up-1", 5), PLENTY)
    assert await inbox.put(by_packet("made-up-2", 6), PLENTY)
    assert await inbox.put(by_packet("made-up-3", 7, redelivered=True), PLENTY)
    assert await inbox.put(replace(by_packet("made-up-4", 5, redelivered=True), client="other"), PLENTY)


async def test_a_packet_id_that_was_given_to_another_packet_no_longer_stands_for_the_first(inbox: Inbox) -> None:
    assert await inbox.put(by_packet("made-up-1", 5), PLENTY)
    assert await inbox.put(replace(by_packet("made-up-2", 5), payload=b"other"), PLENTY)
    assert await inbox.put(by_packet("made-up-3", 5, redelivered=True), PLENTY)


async def test_what_was_taken_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Database(tmp_path / "agent.db")
    await Inbox(first).put(PROMPT, PLENTY)
    first.close()
    second = Database(tmp_path / "agent.db")
    entry = await Inbox(second).begin(0)
    second.close()
    assert entry is not None
    assert entry.payload == PROMPT.payload


async def test_a_store_that_cannot_be_used_is_unavailable(inbox: Inbox, database: Database) -> None:
    await database.run(lambda tables: tables.execute("DROP TABLE inbox"))
    for call in (inbox.put(PROMPT, PLENTY), inbox.begin(0), inbox.set_answer(1, b"", ""), inbox.undelivered(1), inbox.forget(NOW, NOW)):
        with pytest.raises(Unavailable) as refused:
            await call
        assert refused.value.reason == Reason.STORE_UNAVAILABLE


LATER = NOW + timedelta(hours=1)


async def given(inbox: Inbox, better_until: datetime | None = LATER) -> int:
    """A prompt whose answer was delivered."""
    await inbox.put(PROMPT, PLENTY)
    sequence = await begun(inbox)
    await inbox.set_answer(sequence, b"answer", "text/plain", better_until)
    await inbox.set_delivered(sequence, NOW)
    return sequence


async def better(inbox: Inbox, now: datetime = NOW) -> bool:
    return await inbox.set_better_answer("device", "p1", b"better", "text/plain", now)


async def wanted(inbox: Inbox, now: datetime = NOW) -> Wanted:
    return await inbox.wants_better("device", "p1", now)


async def test_a_better_answer_goes_where_the_first_went_with_the_same_correlation_data(inbox: Inbox, database: Database) -> None:
    sequence = await given(inbox)
    assert await inbox.undelivered(10) == []
    assert await better(inbox)
    (entry,) = await inbox.undelivered(10)
    assert (entry.prompt_id, entry.answer, entry.response_topic, entry.correlation_data) == ("p1", b"better", "a/answers", b"\x00c")
    await inbox.set_delivered(sequence, NOW)
    assert not await better(inbox)
    (row,) = await database.run(lambda tables: list(tables.table("inbox").rows))
    assert (row["answer"], row["correlation_data"]) == (b"", None)


async def test_a_better_answer_is_wanted_from_the_delivery_of_the_first_until_its_time(inbox: Inbox) -> None:
    assert await wanted(inbox) is Wanted.NO
    await inbox.put(PROMPT, PLENTY)
    assert await wanted(inbox) is Wanted.NOT_YET
    sequence = await begun(inbox)
    await inbox.set_answer(sequence, b"answer", "text/plain", LATER)
    assert (await wanted(inbox), await better(inbox)) == (Wanted.NOT_YET, False)
    await inbox.set_delivered(sequence, NOW)
    assert await wanted(inbox) is Wanted.YES
    assert (await wanted(inbox, LATER), await better(inbox, LATER)) == (Wanted.NO, False)


async def test_an_answer_that_is_the_last_is_followed_by_none(inbox: Inbox) -> None:
    await given(inbox, better_until=None)
    assert await wanted(inbox) is Wanted.NO
    assert not await better(inbox)


async def test_a_prompt_that_waits_for_a_better_answer_is_remembered_for_so_long(inbox: Inbox) -> None:
    await given(inbox)
    await inbox.forget(NOW + timedelta(seconds=1), NOW)
    assert await wanted(inbox) is Wanted.YES
    await inbox.forget(NOW + timedelta(seconds=1), LATER)
    assert await inbox.put(PROMPT, PLENTY)


async def test_no_better_answer_is_kept_for_a_client_that_was_forgotten(inbox: Inbox, database: Database) -> None:
    await given(inbox)
    await forget(database, Subject("device"), NOW.timestamp())
    assert not await better(inbox)
