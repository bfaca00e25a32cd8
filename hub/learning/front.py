"""The front of a cohort's Fleet API: who may come in, who is there, and a pull that waits until there is something to pull.

Flower's nodes ask every few seconds whether there is anything for them. Here the question is held until there is, so that a stage costs its
messages' way and no waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from contract.carrying import Frame, FrameKind
from hub.learning import flower

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOLD_SECONDS = 10.0
"""A pull is held for so long at most: a NAT forgets an idle connection after 30 seconds, and Flower's client waits for 30."""

SILENT_SECONDS = 15.0
"""A node that has asked for nothing for so long is not there."""

MOST_AT_ONCE = 4
"""Requests of one node: ours makes one, and others may be left of links that have broken. Each may hold a message in memory."""


@dataclass(slots=True)
class Node:
    """A device's node.

    Args:
        agent: whose.
        waiting: one for each message that it has not pulled.
        under_way: how many requests of it are being answered.
        heard_at: when it last asked, monotonic seconds; 0: it never has.
        is_present: whether it was said that it is there.
        is_expelled: whether it may come no more.
        knows_end: whether it was told that the round is over.
    """

    agent: str
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    under_way: int = 0
    heard_at: float = 0.0
    is_present: bool = False
    is_expelled: bool = False
    knows_end: bool = False


class Front:
    """What stands before the SuperLink of a cohort.

    Args:
        tell: called with a frame for each node that comes or goes, each answer and each refusal.
        elapsed: returns seconds that no change of the clock moves.
    """

    def __init__(self, tell: Callable[[Frame], None], elapsed: Callable[[], float] = monotonic) -> None:
        self._elapsed = elapsed
        self.superlink = flower.SuperLink(tell, self._hold)
        self._tell = tell
        self._by_header: dict[bytes, Node] = {}
        self._by_agent: dict[str, Node] = {}
        self._is_over = False
        self.known_to_be_over = asyncio.Event()
        """Set once all who were there at the end have heard of it."""

    def knows(self, header: bytes) -> bool:
        """Says whether a node is known by this header."""
        return header in self._by_header

    def admit(self, agent: str, public_key: bytes) -> None:
        """Lets an agent's node in. The first key of an agent stays its key; one that another agent has is nobody's."""
        if agent in self._by_agent:
            return
        try:
            header = self.superlink.admit(agent, public_key)
        except ValueError:
            return
        self._by_agent[agent] = self._by_header[header] = Node(agent)

    def expel(self, agent: str) -> None:
        """Lets it in no more."""
        node = self._by_agent.get(agent)
        if node is not None:
            node.is_expelled = True
            node.waiting.release()
            self._set_present(node, False)

    def send(self, agent: str, stage: int, body: bytes, ttl_seconds: float) -> None:
        """Sends a message to an agent's node; where it is not there, it has refused."""
        node = self._by_agent.get(agent)
        if node is None or node.is_expelled or not self.superlink.send(agent, stage, body, ttl_seconds):
            self._tell(Frame(FrameKind.REFUSAL, stage, agent))
        else:
            node.waiting.release()

    def end(self) -> None:
        """The round is over: whoever asks hears so."""
        self._is_over = True
        for node in self._by_agent.values():
            node.waiting.release()
        self._look_who_knows()

    def look(self) -> None:
        """Finds those that have fallen silent."""
        latest = self._elapsed() - SILENT_SECONDS
        for node in self._by_agent.values():
            if node.is_present and node.heard_at < latest:
                self._set_present(node, False)

    def end_of(self, header: bytes) -> int:
        """Returns the status by which a node hears that the round is over for it; 0: it is not."""
        node = self._by_header[header]
        if self._is_over:
            node.knows_end = True
            self._look_who_knows()
        return 403 if node.is_expelled else 410 if self._is_over else 0

    def refusal_of(self, header: bytes) -> int:
        """Returns the status by which a request of a node is refused unread; 0: it is not. One of too many may be tried again."""
        return self.end_of(header) or (503 if self._by_header[header].under_way >= MOST_AT_ONCE else 0)

    async def answer(self, header: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request of a node that it knows."""
        node = self._by_header[header]
        node.under_way += 1
        try:
            await self.superlink.app(scope, receive, send)
        finally:
            node.under_way -= 1
        if scope["path"] in flower.PUSHES:
            self.superlink.collect()

    async def _hold(self, header: bytes) -> int:
        node = self._by_header[header]
        node.heard_at = self._elapsed()
        self._set_present(node, True)
        with suppress(TimeoutError):
            async with asyncio.timeout(HOLD_SECONDS):
                await node.waiting.acquire()
        node.heard_at = self._elapsed()
        return self.end_of(header)

    def _look_who_knows(self) -> None:
        if all(node.knows_end for node in self._by_agent.values() if node.is_present):
            self.known_to_be_over.set()

    def _set_present(self, node: Node, is_present: bool) -> None:
        if node.is_present != is_present:
            node.is_present = is_present
            self._tell(Frame(FrameKind.PRESENT if is_present else FrameKind.ABSENT, 0, node.agent))
