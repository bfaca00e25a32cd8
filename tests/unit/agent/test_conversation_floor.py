"""On the path of a prompt, the class of a conversation only rises: by what is in it, and by what the client says."""

from datetime import UTC, datetime
from typing import Any

from agent.pipeline import Pipeline
from agent.prompts import Answer, Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject
from contract.classification import DataClass
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.parts import make_parts

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CARD = "my card is 4111 1111 1111 1111"


class Talk:
    """Asks prompts of one conversation."""

    def __init__(self, database: Database, **changes: Any) -> None:
        self.escalator = FakeEscalator(["cloud"])
        self.pipeline = Pipeline(make_parts(database, FakeEngine(["a"], 0.1), self.escalator, **changes), lambda: NOW)
        self.asked = 0

    async def ask(self, text: str, **fields: Any) -> Answer:
        self.asked += 1
        prompt = Prompt(f"p{self.asked}", fields.pop("client", "c1"), (Message("user", text),), NOW, **{"conversation": "talk", **fields})
        *_, answer = [piece async for piece in self.pipeline.answer(prompt)]
        assert isinstance(answer, Answer)
        return answer


async def test_a_turn_that_is_dropped_does_not_lower_the_class(database: Database) -> None:
    """No turn is shown again here, as where the oldest no longer fit."""
    talk = Talk(database, conversations=ConversationStore(database, -1))
    await talk.ask(CARD)
    answer = await talk.ask("and now?")
    assert (answer.receipt.data_class, answer.receipt.data_kinds, talk.escalator.sent) == ("restricted", (), [])
    assert "conversation-floor" in answer.receipt.reasons


async def test_the_oldest_turns_that_make_room_still_count(database: Database) -> None:
    talk = Talk(database)
    await talk.ask(CARD)
    for number in range(40):
        answer = await talk.ask(f"question number {number}")
        assert answer.receipt.data_class == "restricted"
    assert talk.escalator.sent == []


async def test_it_holds_after_a_restart_and_for_this_conversation_of_this_client_alone(database: Database) -> None:
    await Talk(database).ask(CARD)
    again = Talk(database)
    classes = [
        (await again.ask("hello", **fields)).receipt.data_class
        for fields in ({}, {"conversation": "other"}, {"client": "c2"}, {"conversation": None})
    ]
    assert classes == ["restricted", "public", "public", "public"]


async def test_a_forgotten_conversation_begins_anew(database: Database) -> None:
    talk = Talk(database)
    await talk.ask(CARD)
    await forget(database, Subject("c1", "talk"), NOW.timestamp() - 1)
    assert (await talk.ask("hello")).receipt.data_class == "public"


async def test_a_client_can_raise_its_conversation_and_not_lower_it_again(database: Database) -> None:
    talk = Talk(database)
    floors = (DataClass.PUBLIC, DataClass.CONFIDENTIAL, DataClass.INTERNAL, DataClass.PUBLIC)
    classes = [(await talk.ask("hello", floor=floor)).receipt.data_class for floor in floors]
    assert classes == ["public", "confidential", "confidential", "confidential"]


async def test_without_a_conversation_what_a_client_says_holds_for_the_prompt_alone(database: Database) -> None:
    talk = Talk(database)
    first = await talk.ask("hello", floor=DataClass.RESTRICTED, conversation=None)
    second = await talk.ask("hello again", conversation=None)
    assert (first.receipt.data_class, second.receipt.data_class) == ("restricted", "public")


async def test_a_floor_below_what_is_found_changes_nothing(database: Database) -> None:
    assert (await Talk(database).ask(CARD, floor=DataClass.INTERNAL)).receipt.data_class == "restricted"
