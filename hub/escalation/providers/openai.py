"""Every server that speaks OpenAI's chat completions."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AsyncStream,
    DefaultAsyncHttpxClient,
    OpenAIError,
)
from openai.types.chat import ChatCompletionChunk

from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, FinishReason, TextDelta
from hub.escalation.providers.base import ProviderFailed, clean_text, failure_of_status, reading, timeouts

_FINISH_REASONS: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}
"""All others are `stop`."""


class OpenAIProvider:
    """One such server.

    Args:
        settings: where it is, and how it wants to be asked.
        api_key: empty: it wants none.
    """

    def __init__(self, settings: ProviderSettings, api_key: str) -> None:
        self.settings = settings
        self._client = AsyncOpenAI(
            api_key=api_key or "none",
            base_url=settings.url,
            timeout=timeouts(settings),
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),  # a prompt goes where it was allowed to go
        )

    async def answer(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Finish, None]:
        """See `Provider.answer`."""
        finish = Finish(self.settings.model, 0, 0, "stop")
        finished = False
        with _our_errors():
            stream = await self._open(escalation)
        with _our_errors(), reading():
            async with stream:
                async for chunk in stream:
                    finish = _with_counts(finish, chunk)
                    for choice in (chunk.choices or [])[:1]:
                        if choice.delta.content:
                            yield TextDelta(clean_text(choice.delta.content))
                        if choice.finish_reason:
                            finished = True
                            finish = replace(finish, finish_reason=_FINISH_REASONS.get(choice.finish_reason, "stop"))
        if not finished:
            raise ProviderFailed("cut_off")
        yield finish

    async def _open(self, escalation: Escalation) -> AsyncStream[ChatCompletionChunk]:
        options: dict[str, Any] = {self.settings.output_limit_name: escalation.max_output_tokens}
        if self.settings.send_temperature:
            options["temperature"] = escalation.temperature
        messages: list[Any] = [{"role": turn.role, "content": turn.content} for turn in escalation.turns]
        stream: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
            model=self.settings.model, messages=messages, stream=True, stream_options={"include_usage": True}, **options
        )
        return stream

    async def close(self) -> None:
        """See `Provider.close`."""
        await self._client.close()


def _with_counts(finish: Finish, chunk: ChatCompletionChunk) -> Finish:
    if chunk.model:
        finish = replace(finish, model=clean_text(chunk.model))
    if chunk.usage:
        finish = replace(finish, input_tokens=int(chunk.usage.prompt_tokens), output_tokens=int(chunk.usage.completion_tokens))
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
    except OpenAIError as error:
        raise ProviderFailed("error_event") from error
