"""The test that a bundle of the shipped model carries, taken by the model itself."""

from pathlib import Path

import pytest

from agent.inference.current import CurrentModel
from agent.inference.engine import Engine
from agent.inference.settings import EngineSettings
from agent.update.health_gate import HealthGate, limits_of, read_health
from contract import health
from contract.health import HealthTest, first_failed
from models.blocks import Precision
from models.recipes import read_recipe

NAME = "smollm2-135m-instruct"
MODELS = Path(__file__).resolve().parents[3] / "build" / "models"
SETTINGS = EngineSettings(context_tokens=512, slots=2, prefix_rows=1)


async def figures_of(bundle: Path, test: HealthTest) -> dict[str, float]:
    models, gate = CurrentModel(lambda folder: Engine(folder, SETTINGS), lambda _: True), HealthGate()
    async with models.tried(bundle) as tried:
        return await gate.measure(tried, test, None)


def test_the_recipe_has_a_test_of_its_own() -> None:
    test = read_recipe(NAME).health
    assert test is not None
    assert HealthTest.from_json(test.to_json()) == test
    assert len(test.golden) >= 5


@pytest.mark.model
async def test_the_built_model_passes_what_its_bundle_asks() -> None:
    bundle = MODELS / f"{NAME}-int8"
    test = read_health(bundle)
    assert test == read_recipe(NAME).health
    figures = await figures_of(bundle, test)
    print(figures)
    assert first_failed(figures, limits_of(test, {})) == ""
    assert figures[health.GOLDEN_SHARE] == 1
    assert figures[health.PERPLEXITY] * 1.3 < test.limits[health.PERPLEXITY], "the limit is too near to find only what is broken"


@pytest.mark.system
@pytest.mark.model
@pytest.mark.parametrize("precision", [precision for precision in Precision if precision is not Precision.INT8])
async def test_every_other_precision_passes_too(precision: Precision) -> None:
    bundle = MODELS / f"{NAME}-{precision}"
    if not bundle.is_dir():
        pytest.skip(f"seawall-models build {NAME} --precision {precision}")
    test = read_health(bundle)
    figures = await figures_of(bundle, test)
    print(figures)
    assert first_failed(figures, limits_of(test, {})) == ""
