"""Conversations over their real table: what a client sees is what it said, in order, and nothing of anybody else's."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.prompts import Message, Prompt
from agent.store.conversations import ConversationStore
from agent.store.database import Database

AGE_SECONDS = 100.0

names = st.sampled_from(["a", "b", "A", "a'--", "", "a\0", "%"])
"""Clients' and conversations' names that a careless comparison would take for each other."""

turns = st.tuples(names, names, st.sampled_from(["p1", "p2", "p3"]), st.text(max_size=5), st.integers(0, 60))


def prompt(client: str, conversation: str, prompt_id: str, text: str = "") -> Prompt:
    return Prompt(prompt_id, client, (Message("user", text),), datetime.now(UTC), conversation)


@settings(max_examples=25)
@given(st.lists(turns, max_size=12))
async def test_every_client_sees_its_own_turns_and_no_others(said: list[tuple[str, str, str, str, int]]) -> None:
    now = 1000.0
    kept: list[tuple[tuple[str, str, str], float, str]] = []
    with TemporaryDirectory() as folder:
        database = Database(Path(folder) / "agent.db")
        store = ConversationStore(database, AGE_SECONDS)
        for client, conversation, prompt_id, text, seconds in said:
            now += seconds
            await store.append(prompt(client, conversation, prompt_id, text), Message("assistant", f"{text}!"), now)
            key = (client, conversation, prompt_id)
            kept = [*(turn for turn in kept if turn[0] != key), (key, now, text)]
        for client, conversation in {(client, conversation) for client, conversation, *_ in said} | {("nobody", "a")}:
            expected = [
                message
                for (whose, which, _), time, text in kept
                if (whose, which) == (client, conversation) and time >= now - AGE_SECONDS
                for message in (Message("user", text), Message("assistant", f"{text}!"))
            ]
            assert list(await store.earlier(prompt(client, conversation, "new"), now)) == expected
        database.close()
