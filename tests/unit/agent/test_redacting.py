"""What leaves, what is kept of it here, and what comes back."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import pytest

from agent.escalation import Completion, EscalationFailed
from agent.prompts import Message, Prompt
from agent.redacting import INVENTED, NOTE, Outgoing, Redactor, restored
from contract.classification import Finding
from contract.redaction import Vault
from tests.fakes.vaults import MemoryVaults

NOW = 1000.0
DONE = Completion("cloud", "public", "eu", "big", 3, 4, "stop")


def a_prompt(conversation: str | None = "talk", client: str = "till") -> Prompt:
    return Prompt("p1", client, (Message("user", "x"),), datetime.now(UTC), conversation)


def found(messages: Sequence[Message], value: str) -> list[list[Finding]]:
    return [[Finding(at, at + len(value), "PERSON")] if (at := message.content.find(value)) >= 0 else [] for message in messages]


async def prepared(redactor: Redactor, text: str, prompt: Prompt | None = None) -> Outgoing:
    messages = (Message("user", text),)
    return await redactor.prepare(prompt or a_prompt(), messages, found(messages, "Ada"), NOW)


async def answer(*pieces: str) -> AsyncGenerator[str | Completion, None]:
    for piece in pieces:
        yield piece
    yield DONE


async def test_what_was_found_does_not_leave_and_the_model_is_told_of_the_marks() -> None:
    outgoing = await prepared(Redactor(MemoryVaults()), "Where is Ada?")
    assert [message.role for message in outgoing.messages] == ["system", "user"]
    assert outgoing.messages[0].content == NOTE
    assert outgoing.messages[1].content == f"Where is {outgoing.sent[0].token}?"


async def test_where_nothing_was_found_nothing_is_changed_or_kept() -> None:
    vaults = MemoryVaults()
    outgoing = await prepared(Redactor(vaults), "Where is he?")
    assert outgoing == Outgoing((Message("user", "Where is he?"),), is_redacted=True)
    assert not vaults.kept


async def test_a_later_turn_has_the_same_marks_also_after_a_restart() -> None:
    vaults = MemoryVaults()
    first = await prepared(Redactor(vaults), "Where is Ada?")
    later = await prepared(Redactor(vaults), "And when does Ada come?")
    assert later.sent == first.sent


async def test_another_conversation_and_another_client_have_marks_of_their_own() -> None:
    vaults, numbers = MemoryVaults(), iter(range(99))
    redactor = Redactor(vaults, lambda _: next(numbers))
    tokens = {
        (await prepared(redactor, "Ada?", prompt)).sent[0].token
        for prompt in (a_prompt("one"), a_prompt("two"), a_prompt("one", "other"), a_prompt(None), a_prompt(None))
    }
    assert len(tokens) == 5
    assert set(vaults.kept) == {("till", "one"), ("till", "two"), ("other", "one")}


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{}", b'[["PERSON", 1, 0]]'])
async def test_a_vault_that_cannot_be_read_keeps_the_prompt_here(damage: bytes) -> None:
    vaults = MemoryVaults()
    vaults.kept["till", "talk"] = damage
    with pytest.raises(EscalationFailed) as caught:
        await prepared(Redactor(vaults), "Where is Ada?")
    assert (caught.value.why, caught.value.sent) == ("redaction-failed", False)


async def test_a_vault_that_cannot_be_kept_keeps_the_prompt_here_and_quotes_nothing() -> None:
    with pytest.raises(EscalationFailed) as caught:
        await prepared(Redactor(MemoryVaults(breaks=True)), "Where is Ada?")
    assert caught.value.why == "redaction-failed"
    assert "Ada" not in str(caught.value)


async def test_values_come_back_in_a_stream_and_the_rest_waits_for_nothing() -> None:
    outgoing = await prepared(Redactor(MemoryVaults()), "Where is Ada?")
    name = outgoing.sent[0].name
    pieces = [piece async for piece in restored(answer("So: <", name[:4], name[4:], ">'s here."), outgoing)]
    assert pieces[0] == "So: "
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == "So: Ada's here."
    assert pieces[-1] == DONE


async def test_what_waits_at_the_end_is_given_and_an_invented_mark_is_told() -> None:
    outgoing = await prepared(Redactor(MemoryVaults()), "Where is Ada?")
    *texts, last = [piece async for piece in restored(answer("<CARD_7> or <"), outgoing)]
    assert "".join(str(text) for text in texts) == "<CARD_7> or <"
    assert isinstance(last, Completion)
    assert last.notes == (INVENTED,)


def test_a_vault_holds_what_it_was_given() -> None:
    assert Vault.from_json(Vault().to_json()) == Vault()
