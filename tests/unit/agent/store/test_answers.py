"""The table of answers: how long they are kept, and which go first."""

from agent.store.answers import AnswerStore, KeptQuestion
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject

HOUR = 3600.0
TILL, DOOR = Subject("till"), Subject("door")


async def put(store: AnswerStore, digest: str, answer: str, now: float, subject: Subject = TILL) -> None:
    await store.put(digest, answer, subject, now, now)


async def kept(store: AnswerStore, now: float) -> str:
    return "".join([digest for digest in "abcd" if await store.get(digest, now) is not None])


async def test_the_least_recently_used_goes_first(database: Database) -> None:
    store = AnswerStore(database, most_answers=2, age_seconds=10 * HOUR)
    await put(store, "a", "A", 0.0)
    await put(store, "b", "B", 1.0)
    assert await store.get("a", 2 * HOUR) == "A"
    await put(store, "c", "C", 3 * HOUR)
    assert await kept(store, 3 * HOUR) == "ac"


async def test_a_use_within_the_hour_is_not_written(database: Database) -> None:
    store = AnswerStore(database, most_answers=2, age_seconds=10 * HOUR)
    await put(store, "a", "A", 0.0)
    await put(store, "b", "B", 1.0)
    before = await database.run(lambda tables: tables.execute("SELECT total_changes()").fetchone())
    assert await store.get("a", HOUR) == "A"
    assert await database.run(lambda tables: tables.execute("SELECT total_changes()").fetchone()) == before


async def test_an_answer_is_given_up_to_its_age_however_often_it_is_used(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=10 * HOUR)
    await put(store, "a", "A", 0.0)
    assert await store.get("a", 9 * HOUR) == "A"
    assert await store.get("a", 10 * HOUR) == "A"
    assert await store.get("a", 10 * HOUR + 1) is None


async def test_what_is_too_old_is_deleted_and_not_only_hidden(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=10 * HOUR)
    await put(store, "a", "A", 0.0)
    await put(store, "b", "B", 10 * HOUR)
    assert await store.forget() == 2
    await put(store, "a", "A", 0.0)
    await put(store, "b", "B", 10 * HOUR + 1)
    assert await store.forget() == 1


async def test_an_answer_that_is_kept_again_is_as_new(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=10 * HOUR)
    await put(store, "a", "A", 0.0)
    await put(store, "a", "B", 9 * HOUR)
    assert await store.get("a", 18 * HOUR) == "B"
    assert await store.forget() == 1


async def test_a_cache_without_room_keeps_nothing(database: Database) -> None:
    store = AnswerStore(database, most_answers=0, age_seconds=HOUR)
    await put(store, "a", "A", 0.0)
    assert await kept(store, 0.0) == ""


async def test_an_answer_goes_with_the_one_who_asked_first_and_stays_when_another_goes(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=HOUR)
    await put(store, "a", "A", 0.0, TILL)
    await put(store, "b", "B", 0.0, DOOR)
    await forget(database, DOOR, 1.0)
    assert await kept(store, 1.0) == "a"
    await forget(database, TILL, 1.0)
    assert await kept(store, 1.0) == ""


async def test_what_was_asked_before_its_asker_was_forgotten_is_not_kept_afterwards(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=HOUR)
    await forget(database, TILL, 5.0)
    await store.put("a", "A", TILL, 5.0, 6.0)
    await store.put("b", "B", Subject("till", "tea"), 5.0, 6.0)
    await store.put("c", "C", DOOR, 5.0, 6.0)
    await store.put("d", "D", TILL, 5.5, 6.0)
    assert await kept(store, 6.0) == "cd"


async def test_an_answer_put_in_the_place_of_another_is_not_given(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=HOUR)
    await put(store, "a", "A", 0.0)
    await put(store, "b", "B", 0.0)
    swap = "UPDATE answers SET answer = (SELECT answer FROM answers WHERE digest = 'b') WHERE digest = 'a'"
    await database.run(lambda tables: tables.execute(swap))
    assert await kept(store, 0.0) == "b"


QUESTION = KeptQuestion("s", "Which river is longest?", b"vector")


async def test_a_question_is_kept_beside_its_answer_and_read_back_while_it_may_be_given(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=HOUR)
    assert await store.put("a", "A", TILL, 0.0, 0.0, QUESTION)
    await put(store, "b", "B", 0.0)
    assert await store.vectors() == [("a", "s", b"vector")]
    assert await store.comparable() == {"a"}
    assert await store.questions(["a", "b", "c"], "s", HOUR) == {"a": QUESTION.text}
    assert await store.questions(["a"], "another", HOUR) == {}
    assert await store.questions(["a"], "s", HOUR + 1) == {}


async def test_an_answer_that_is_kept_again_without_a_question_is_found_by_none(database: Database) -> None:
    store = AnswerStore(database, most_answers=9, age_seconds=HOUR)
    await store.put("a", "A", TILL, 0.0, 0.0, QUESTION)
    await put(store, "a", "A", 1.0)
    assert await store.vectors() == []
    assert await store.get("a", 1.0) == "A"


async def test_what_is_not_kept_is_said_so(database: Database) -> None:
    assert not await AnswerStore(database, most_answers=0, age_seconds=HOUR).put("a", "A", TILL, 0.0, 0.0, QUESTION)
    store = AnswerStore(database, most_answers=9, age_seconds=HOUR)
    await forget(database, TILL, 1.0)
    assert not await store.put("a", "A", TILL, 0.5, 2.0, QUESTION)


async def test_all_vectors_are_read_however_many_there_are_and_a_row_that_does_not_open_is_left_out(database: Database) -> None:
    store = AnswerStore(database, most_answers=2000, age_seconds=HOUR)
    sealed = KeptQuestion("s", "q", b"v")
    await store.put("moved", "A", TILL, 0.0, 0.0, sealed)
    columns = "key, answer, scope, question, vector, create_time, used_time"
    copy = f"INSERT INTO answers (digest, {columns}) SELECT ?, {columns} FROM answers WHERE digest = 'moved'"
    await database.run(lambda tables: [tables.execute(copy, [f"copy-{number}"]) for number in range(1200)] and None)
    assert await store.vectors() == [("moved", "s", b"v")], "a copy under another digest was moved by somebody"
    assert len(await store.comparable()) == 1201
