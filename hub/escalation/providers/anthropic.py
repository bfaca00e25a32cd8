"""Anthropic's messages API. It takes no temperature any more."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
from anthropic import (
    AnthropicError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
    AsyncStream,
    DefaultAsyncHttpxClient,
    omit,
)
from anthropic.types import RawMessageStreamEvent

from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, FinishReason, TextDelta
from hub.escalation.providers.base import ProviderFailed, clean_text, failure_of_status, reading, timeouts

_FINISH_REASONS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""All others are `stop`."""


class AnthropicProvider:
    """Anthropic's cloud, or a server that speaks like it.

    Args:
        settings: where it is, and how it wants to be asked.
        api_key: empty: it wants none.
    """

    def __init__(self, settings: ProviderSettings, api_key: str) -> None:
        self.settings = settings
        self._client = AsyncAnthropic(
            api_key=api_key or "none",
            base_url=settings.url,
            timeout=timeouts(settings),
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),  # a prompt goes where it was allowed to go
            open_telemetry=False,  # its spans can carry prompts
        )

    async def answer(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Finish, None]:
        """See `Provider.answer`."""
        finish = Finish(self.settings.model, 0, 0, "stop")
        finished = False
        with _our_errors():
            stream = await self._open(escalation)
        with _our_errors(), reading():
            async with stream:
                async for event in stream:
                    if event.type == "content_block_delta" and event.delta.type == "text_delta" and event.delta.text:
                        yield TextDelta(clean_text(event.delta.text))
                    finish = _with_counts(finish, event)
                    finished = finished or event.type == "message_stop"
        if not finished:
            raise ProviderFailed("cut_off")
        yield finish

    async def _open(self, escalation: Escalation) -> AsyncStream[RawMessageStreamEvent]:
        system = "\n\n".join(turn.content for turn in escalation.turns if turn.role == "system")
        messages: list[Any] = [{"role": turn.role, "content": turn.content} for turn in escalation.turns if turn.role != "system"]
        stream: AsyncStream[RawMessageStreamEvent] = await self._client.messages.create(
            model=self.settings.model, max_tokens=escalation.max_output_tokens, messages=messages, stream=True, system=system or omit
        )
        return stream

    async def close(self) -> None:
        """See `Provider.close`."""
        await self._client.close()


def _with_counts(finish: Finish, event: RawMessageStreamEvent) -> Finish:
    if event.type == "message_start":
        return replace(finish, model=clean_text(event.message.model), input_tokens=int(event.message.usage.input_tokens))
    if event.type == "message_delta":
        reason = _FINISH_REASONS.get(event.delta.stop_reason or "", "stop")
        return replace(finish, output_tokens=int(event.usage.output_tokens), finish_reason=reason)
    return finish


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turns the client's errors into ours."""
    try:
        yield
    except APIStatusError as error:
        raise failure_of_status(error.status_code) from error
    except (APITimeoutError, httpx2.TimeoutException) as error:
        raise ProviderFailed("timeout") from error
    except (APIConnectionError, httpx2.HTTPError) as error:
        raise ProviderFailed("connection") from error
    except AnthropicError as error:
        raise ProviderFailed("error_event") from error
