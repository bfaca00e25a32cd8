"""Which provider answers: the first one, in the configured order, that the prompt may go to and that begins to answer."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from contract.errors import InvalidRequest, NotPossibleNow, Reason, Unavailable
from hub.escalation.circuits import Circuits
from hub.escalation.metering import Meter
from hub.escalation.profile import provider_of
from hub.escalation.prompts import Completion, Escalation, Finish, TextDelta
from hub.escalation.providers.base import Provider, ProviderFailed, ProviderRefused


class Router:
    """Tries the providers in their order.

    Args:
        providers: all that are configured.
        circuits: cut off those that fail.
        meter: measures each try.
    """

    def __init__(self, providers: Sequence[Provider], circuits: Circuits, meter: Meter) -> None:
        self._providers = providers
        self._circuits = circuits
        self._meter = meter

    async def answer(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Completion, None]:
        """Answers: TextDeltas, then one Completion. Once a piece is out, no other provider is tried.

        Raises:
            NotPossibleNow: NO_PROVIDER_ALLOWED, none is configured that the prompt may go to.
            InvalidRequest: PROMPT_INVALID, each that works refused the prompt.
            Unavailable: PROVIDERS_UNAVAILABLE, none began to answer, or the one that did broke off.
        """
        failures = []
        for provider in self._allowed(escalation):
            begun = False
            try:
                async with aclosing(self._attempt(provider, escalation)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except ProviderFailed as error:
                if begun:
                    raise
                failures.append(error)
        raise _all_failed(failures)

    def _allowed(self, escalation: Escalation) -> list[Provider]:
        allowed = [provider for provider in self._providers if provider_of(provider.settings) in escalation.allowed]
        if not allowed:
            raise NotPossibleNow(
                Reason.NO_PROVIDER_ALLOWED, "The hub has no provider, as it is now, that this prompt may go to. Configure one."
            )
        return allowed

    async def _attempt(self, provider: Provider, escalation: Escalation) -> AsyncGenerator[TextDelta | Completion, None]:
        settings = provider.settings
        async with self._circuits.closed(settings.name):
            with self._meter.attempt(settings, escalation) as attempt:
                answer = _in_time(provider.answer(escalation), settings.first_token_seconds, settings.timeout_seconds)
                async with aclosing(answer) as pieces:
                    async for piece in pieces:
                        attempt.saw(piece)
                        yield Completion(settings.name, settings.tier, settings.region, piece) if isinstance(piece, Finish) else piece

    async def close(self) -> None:
        """Lets go of the providers' connections."""
        for provider in self._providers:
            await provider.close()


async def _in_time(
    answer: AsyncGenerator[TextDelta | Finish, None], first_token_seconds: float, total_seconds: float
) -> AsyncGenerator[TextDelta | Finish, None]:
    start = asyncio.get_running_loop().time()
    deadline = start + min(first_token_seconds, total_seconds)
    async with aclosing(answer):
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    piece = await anext(answer, None)
            except TimeoutError as error:
                raise ProviderFailed("timeout") from error
            if piece is None:
                return
            yield piece
            deadline = start + total_seconds


def _all_failed(failures: Sequence[ProviderFailed]) -> InvalidRequest | Unavailable:
    if all(isinstance(failure, ProviderRefused) for failure in failures):
        return InvalidRequest(
            Reason.PROMPT_INVALID, "Every provider refused the prompt: it may be too long for them. Keep the local answer."
        )
    return Unavailable(Reason.PROVIDERS_UNAVAILABLE, "No provider answers now. Keep the local answer, and try again later.")
