"""Measures a model on this device, before it serves: is it right, is it fluent, is it fast, does it fit, does it stay cool?"""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from agent.inference.answer import Piece
from agent.inference.current import CurrentModel, LoadedModel, Tried
from agent.inference.machine import resident_bytes, temperature_celsius
from agent.prompts import Message, Role, Sampling
from contract import health
from contract.errors import InvalidRequest, Reason
from contract.health import HEALTH_FILE, MAX_HEALTH_BYTES, Golden, HealthTest

LOW_PRIORITY = -1
"""People's prompts go first."""

_SPEED_TOKENS = 32
_SPEED_RUNS = 3
_SPEED_PROMPT = (Message("user", "Write a long story about a lighthouse keeper and the sea."),)
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Base:
    """What a new model is compared with.

    Args:
        perplexity: of the model that serves, on the new one's text.
        tokens_per_second: of it.
    """

    perplexity: float
    tokens_per_second: float


def read_health(bundle: Path) -> HealthTest:
    """Returns the test in a verified bundle; the built-in one where it has none.

    Raises:
        InvalidRequest: BUNDLE_INVALID.
    """
    try:
        with (bundle / HEALTH_FILE).open("rb") as file:
            return HealthTest.from_json(file.read(MAX_HEALTH_BYTES + 1))
    except FileNotFoundError:
        return HealthTest()
    except OSError as error:
        raise InvalidRequest(Reason.BUNDLE_INVALID, f"{HEALTH_FILE} cannot be read ({error.strerror}): fetch the bundle anew.") from error


class HealthGate:
    """Measures models.

    Args:
        clock: seconds that only grow.
        resident: returns the bytes of this process that lie in memory.
        temperature: returns that of the hottest zone, Celsius; None: nothing measures it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        resident: Callable[[], int] = resident_bytes,
        temperature: Callable[[], float | None] = temperature_celsius,
    ) -> None:
        self._clock = clock
        self._resident = resident
        self._temperature = temperature

    async def base(self, models: CurrentModel, text: str) -> Base | None:
        """Measures the model that serves; None: none does.

        Raises:
            SeawallError: it has no time for it.
        """
        if models.away:
            return None
        with models.held() as model:
            return Base((await model.score(text, priority=LOW_PRIORITY)).perplexity, await self._speed(model))

    async def measure(self, tried: Tried, test: HealthTest, base: Base | None) -> dict[str, float]:
        """Measures a model that is tried. Returns its figures by name.

        Raises:
            SeawallError: it cannot be run.
        """
        model = tried.model
        figures = {health.PERPLEXITY: (await model.score(test.text)).perplexity}
        if test.golden:
            right = [await self._passes(model, golden) for golden in test.golden]
            figures[health.GOLDEN_SHARE] = sum(right) / len(right)
        figures[health.TOKENS_PER_SECOND] = await self._speed(model)
        if base is not None:
            figures[health.PERPLEXITY_RATIO] = figures[health.PERPLEXITY] / base.perplexity
        if base is not None and base.tokens_per_second > 0:
            figures[health.SPEED_RATIO] = figures[health.TOKENS_PER_SECOND] / base.tokens_per_second
        weights_bytes = sum(entry.size_bytes for entry in model.bundle.files.values())
        figures[health.RESIDENT_BYTES] = float(max(0, self._resident() - tried.before_bytes - weights_bytes))
        if (temperature := self._temperature()) is not None:
            figures[health.TEMPERATURE_CELSIUS] = temperature
        return figures

    async def _passes(self, model: LoadedModel, golden: Golden) -> bool:
        """Asks a golden prompt, and stops as soon as the answer is right."""
        messages = [Message(_ROLES[turn.role], turn.content) for turn in golden.messages]
        text = ""
        async with aclosing(model.generate(messages, Sampling(max_tokens=golden.max_tokens))) as pieces:
            async for piece in pieces:
                text += piece.text if isinstance(piece, Piece) else ""
                if golden.passes(text):
                    return True
        return False

    async def _speed(self, model: LoadedModel) -> float:
        return median([await self._timed(model) for _ in range(_SPEED_RUNS)])

    async def _timed(self, model: LoadedModel) -> float:
        """Returns the tokens a second of one answer, from its first token on."""
        sampling = Sampling(max_tokens=_SPEED_TOKENS)
        async with aclosing(model.generate(_SPEED_PROMPT, sampling, priority=LOW_PRIORITY)) as pieces:
            moments = [self._clock() async for piece in pieces if isinstance(piece, Piece)]
        seconds = moments[-1] - moments[0] if moments else 0.0
        return (len(moments) - 1) / seconds if seconds > 0 else 0.0


def limits_of(test: HealthTest, wanted: Mapping[str, float]) -> dict[str, float]:
    """Returns what a model is held to: the bundle's limits, tightened by a rollout's."""
    return health.tightened(test.limits, wanted)
