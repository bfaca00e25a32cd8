"""Step 6, on both sides of the hub: what leaves is redacted, what comes is restored. The map between lies on this device alone."""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from agent.escalation import Completion, EscalationFailed
from agent.prompts import Message, Prompt
from contract.classification import Finding
from contract.redaction import Placeholder, Vault, redact
from contract.restoring import Restorer

NOTE = (
    "Some words of this conversation are withheld, and a mark in angle brackets stands in the place of each, such as <PERSON_37>."
    " Use these marks as they are, and do not explain them."
)
"""Said to the provider's model where anything was taken out."""

INVENTED = "placeholder-invented"
"""Noted where a placeholder stands in the answer that was never sent."""

_log = structlog.get_logger(__name__)


class Vaults(Protocol):
    """What is needed of agent.store.vault.VaultStore."""

    async def get(self, client: str, conversation: str) -> bytes | None:
        """Returns what was kept for a conversation."""
        ...

    async def put(self, client: str, conversation: str, content: bytes, now: float, asked_time: float | None = None) -> None:
        """Keeps it, sealed, in place of what was there."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What may leave.

    Args:
        messages: redacted, where they had to be.
        is_redacted: whether they were looked through for what has to be taken out.
        sent: what stands in the place of what was taken out.
        literal: what looks like a placeholder and is the user's own text.
    """

    messages: tuple[Message, ...]
    is_redacted: bool = False
    sent: tuple[Placeholder, ...] = ()
    literal: frozenset[str] = frozenset()


class Redactor:
    """Redacts conversations.

    Args:
        vaults: where maps are kept between turns.
        draw: returns an unpredictable number from 0 to below the given one.
    """

    def __init__(self, vaults: Vaults, draw: Callable[[int], int] = secrets.randbelow) -> None:
        self._vaults = vaults
        self._draw = draw

    async def prepare(self, prompt: Prompt, messages: Sequence[Message], findings: Sequence[Sequence[Finding]], now: float) -> Outgoing:
        """Returns what may leave of a conversation. When this returns, the map is on the disk.

        Args:
            prompt: whose conversation it is.
            messages: of it, oldest first.
            findings: of each message.
            now: POSIX time, seconds.

        Raises:
            EscalationFailed: `redaction-failed`: whatever went wrong, nothing leaves.
        """
        try:
            return await self._prepare(prompt, messages, findings, now)
        except Exception as error:  # noqa: BLE001  # whatever breaks, the prompt stays
            # Without its words: they may quote the prompt.
            _log.error("a prompt cannot be redacted and stays on this device", error=type(error).__name__)
            raise EscalationFailed("redaction-failed", sent=False) from None

    async def _prepare(self, prompt: Prompt, messages: Sequence[Message], findings: Sequence[Sequence[Finding]], now: float) -> Outgoing:
        known = await self._known(prompt)
        redacted = redact([message.content for message in messages], findings, known, self._draw)
        if prompt.conversation is not None and redacted.vault != known:
            asked_time = prompt.received_time.timestamp()
            await self._vaults.put(prompt.client, prompt.conversation, redacted.vault.to_json(), now, asked_time)
        plain = [Message(message.role, text) for message, text in zip(messages, redacted.texts, strict=True)]
        note = [Message("system", NOTE)] if redacted.sent else []
        return Outgoing((*note, *plain), True, redacted.sent, redacted.literal)

    async def _known(self, prompt: Prompt) -> Vault:
        if prompt.conversation is None:
            return Vault()
        kept = await self._vaults.get(prompt.client, prompt.conversation)
        return Vault() if kept is None else Vault.from_json(kept)


async def restored(pieces: AsyncGenerator[str | Completion, None], outgoing: Outgoing) -> AsyncGenerator[str | Completion, None]:
    """Yields an answer with the values put back that were taken out of what was sent, and of nothing else.

    Args:
        pieces: of the answer; closed at the end.
        outgoing: what was sent.
    """
    restorer = Restorer(outgoing.sent, outgoing.literal)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, str):
                if text := restorer.feed(piece):
                    yield text
            else:
                if text := restorer.end():
                    yield text
                yield replace(piece, notes=(*piece.notes, INVENTED)) if restorer.invented else piece
