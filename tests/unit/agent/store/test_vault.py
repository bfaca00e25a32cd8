"""The vault: one sealed value a conversation."""

from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.subjects import Subject
from agent.store.vault import Vault

AGE_SECONDS = 100.0


async def test_a_client_reads_what_it_put_last_and_nothing_of_another(database: Database) -> None:
    vault = Vault(database, AGE_SECONDS)
    places = [("c", "tea"), ("c", None), ("c", ""), ("d", "tea")]
    for number, (client, conversation) in enumerate(places):
        await vault.put(client, conversation, b"old", 1.0)
        await vault.put(client, conversation, bytes([number]), 2.0)
    assert [await vault.get(*place) for place in places] == [bytes([number]) for number in range(len(places))]
    assert await vault.get("d", None) is None


async def test_what_is_forgotten_is_gone_and_can_be_put_anew(database: Database) -> None:
    vault = Vault(database, AGE_SECONDS)
    await vault.put("c", "tea", b"map", 1.0)
    await vault.forget("c", "milk")
    assert await vault.get("c", "tea") == b"map"
    await vault.forget("c", "tea")
    assert await vault.get("c", "tea") is None
    await vault.put("c", "tea", b"new", 1.0)
    assert await vault.get("c", "tea") == b"new"


async def test_what_is_too_old_goes_with_the_next_that_is_put(database: Database) -> None:
    vault = Vault(database, AGE_SECONDS)
    await vault.put("c", "tea", b"map", 0.0)
    await vault.put("c", "milk", b"map", AGE_SECONDS)
    assert await vault.get("c", "tea") == b"map"
    await vault.put("c", "milk", b"map", AGE_SECONDS + 1)
    assert await vault.get("c", "tea") is None


async def test_what_was_made_for_a_prompt_that_came_before_its_client_was_forgotten_is_not_kept(database: Database) -> None:
    vault = Vault(database, AGE_SECONDS)
    await forget(database, Subject("c"), 5.0)
    await vault.put("c", "tea", b"map", 6.0, asked_time=5.0)
    assert await vault.get("c", "tea") is None
    await vault.put("c", "tea", b"map", 6.0, asked_time=5.5)
    assert await vault.get("c", "tea") == b"map"


async def test_one_conversations_value_in_the_place_of_anothers_is_not_given(database: Database) -> None:
    vault = Vault(database, AGE_SECONDS)
    await vault.put("c", "tea", b"map", 0.0)
    await vault.put("d", "tea", b"map", 0.0)
    rows = await database.run(lambda tables: list(tables.table("vault").rows))
    swap = "UPDATE vault SET key = ?, content = ? WHERE subject = ?"
    await database.run(lambda tables: tables.execute(swap, [rows[1]["key"], rows[1]["content"], rows[0]["subject"]]))
    assert [await vault.get(client, "tea") for client in "cd"] == [None, b"map"]
