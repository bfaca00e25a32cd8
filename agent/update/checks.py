"""All that a version must pass before it serves: the health gate, then a shadow run."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from agent.inference.current import CurrentModel, Tried
from agent.inference.session import ModelFailed
from agent.traffic import Traffic
from agent.update.health_gate import Base, HealthGate, limits_of, read_health
from agent.update.shadow import Shadow
from agent.update.trial import Trial
from contract.errors import Busy, SeawallError, Unavailable
from contract.health import HealthTest, beyond, first_failed


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of the checks.

    Args:
        figures: by name.
        limits: that they were held to.
        failed: the figure that is beyond its limit; empty: none is.
        refusal: why the version is refused, a sentence; empty: it is not.
    """

    figures: Mapping[str, float]
    limits: Mapping[str, float]
    failed: str = ""
    refusal: str = ""


class Checks:
    """Checks versions, while another model serves.

    Args:
        models: that answer.
        gate: measures.
        traffic: live answers, for the shadow run.
        randomness: chooses a sample of them.
        elapsed: returns seconds that no change of the clock moves.
    """

    def __init__(
        self,
        models: CurrentModel,
        gate: HealthGate,
        traffic: Traffic,
        randomness: random.Random,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self._models = models
        self._gate = gate
        self._traffic = traffic
        self._randomness = randomness
        self._elapsed = elapsed

    async def of(self, folder: Path, trial: Trial, shadowing: Callable[[Checked], Awaitable[None]]) -> Checked:
        """Checks the version in a folder.

        Args:
            folder: of its verified bundle.
            trial: how it is tried.
            shadowing: told what was measured before the shadow run begins.

        Raises:
            Busy: people need the device now.
        """
        checked = Checked({}, {})
        try:
            test = await asyncio.to_thread(read_health, folder)
            limits = limits_of(test, trial.limits)
            base = await self._base(test)
            async with self._models.tried(folder) as tried:
                checked = _judged(await self._gate.measure(tried, test, base), limits)
                if not checked.refusal and trial.shadow_percent and tried.is_beside:
                    await shadowing(checked)
                    checked = _judged({**checked.figures, **await self._shadowed(tried, trial)}, limits)
        except Busy:
            raise
        except SeawallError as error:
            return replace(checked, refusal=f"It cannot be run here: {error.message}")
        return checked

    async def _base(self, test: HealthTest) -> Base | None:
        """What serves and cannot be measured is all the more to be replaced."""
        try:
            return await self._gate.base(self._models, test.text)
        except (ModelFailed, Unavailable):
            return None

    async def _shadowed(self, tried: Tried, trial: Trial) -> dict[str, float]:
        shadow = Shadow(self._traffic, lambda: self._models.is_asked, trial.shadow_percent, self._randomness, self._elapsed)
        await shadow.run(tried.model, trial.shadow_answers, trial.shadow_seconds)
        return shadow.figures


def _judged(figures: Mapping[str, float], limits: Mapping[str, float]) -> Checked:
    applied = {name: limit for name, limit in limits.items() if name in figures}
    failed = first_failed(figures, applied)
    return Checked(figures, applied, failed, beyond(failed, figures, applied) if failed else "")
