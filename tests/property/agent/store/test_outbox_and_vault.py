"""The outbox and the vault over their real tables, with subjects that are forgotten, against models in plain Python."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.store.database import Database
from agent.store.erasure import forget
from agent.store.outbox import Outbox, OutboxEntry
from agent.store.subjects import Subject
from agent.store.vault import Vault

MOST, AGE_SECONDS = 4, 50.0

subjects = st.builds(Subject, st.sampled_from("ab"), st.sampled_from([None, "", "a", "b"]))
ids = st.sampled_from(["e1", "e2", "e3", "e4", "e5", "e6"])
contents = st.binary(max_size=5)
waits = st.sampled_from([1, 20, 60])


class StoresMachine(RuleBasedStateMachine):
    """Puts, takes, forgets and restarts, while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.now = 1_000_000.0
        self.waiting: dict[str, OutboxEntry] = {}
        self.maps: dict[Subject, tuple[bytes, float]] = {}

    @initialize()
    def open(self) -> None:
        self.database = Database(Path(self.folder.name) / "agent.db")
        self.outbox = Outbox(self.database, MOST)
        self.vault = Vault(self.database, AGE_SECONDS)

    @rule(name=ids, subject=subjects, content=contents, life=waits, seconds=waits)
    def append(self, name: str, subject: Subject, content: bytes, life: int, seconds: int) -> None:
        self.now += seconds
        entry = OutboxEntry(name, subject, content, self.now, self.now + life)
        is_taken = name in self.waiting or len(self.waiting) < MOST
        assert self.runner.run(self.outbox.append(entry)) is is_taken
        if is_taken:
            self.waiting[name] = entry

    @rule(seconds=waits)
    def take(self, seconds: int) -> None:
        self.now += seconds
        self.waiting = {name: entry for name, entry in self.waiting.items() if entry.expire_time > self.now}
        last, found = 0, []
        while (entry := self.runner.run(self.outbox.next(last, self.now))) is not None:
            last = entry.sequence
            found.append((entry.entry_id, entry.subject, entry.content, entry.expire_time))
        assert found == [(entry.entry_id, entry.subject, entry.content, entry.expire_time) for entry in self.waiting.values()]

    @rule(name=ids)
    def done(self, name: str) -> None:
        self.runner.run(self.outbox.done(name))
        self.waiting.pop(name, None)

    @rule(subject=subjects, content=contents, seconds=waits)
    def put(self, subject: Subject, content: bytes, seconds: int) -> None:
        self.now += seconds
        self.runner.run(self.vault.put(subject.client, subject.conversation, content, self.now))
        fresh = {whose: (kept, time) for whose, (kept, time) in self.maps.items() if time >= self.now - AGE_SECONDS}
        self.maps = {**fresh, subject: (content, self.now)}

    @rule(subject=subjects)
    def forget(self, subject: Subject) -> None:
        removed = self.runner.run(forget(self.database, subject, self.now))
        self.now += 1  # what comes at the very time of an erasure counts as before it

        def is_gone(other: Subject) -> bool:
            return other == subject or (subject.conversation is None and other.client == subject.client)

        gone = [name for name, entry in self.waiting.items() if is_gone(entry.subject)]
        lost = [other for other in self.maps if is_gone(other)]
        assert (removed["outbox"], removed["vault"]) == (len(gone), len(lost))
        self.waiting = {name: entry for name, entry in self.waiting.items() if name not in gone}
        self.maps = {other: kept for other, kept in self.maps.items() if other not in lost}

    @rule()
    def restart(self) -> None:
        self.database.close()
        self.open()

    @invariant()
    def the_vault_gives_what_was_put_last(self) -> None:
        if not hasattr(self, "vault"):
            return
        for subject in (Subject(client, name) for client in "ab" for name in (None, "", "a", "b")):
            kept = self.runner.run(self.vault.get(subject.client, subject.conversation))
            assert kept == (self.maps[subject][0] if subject in self.maps else None)

    def teardown(self) -> None:
        self.database.close()
        self.runner.close()
        self.folder.cleanup()


TestStores = StoresMachine.TestCase
TestStores.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
