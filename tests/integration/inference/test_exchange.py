"""The real model exchanged for itself, under load."""

import asyncio
import gc
from pathlib import Path

import pytest

from agent.inference.answer import Finished, Piece
from agent.inference.away import ModelAway
from agent.inference.current import CurrentModel
from agent.inference.engine import Engine
from agent.inference.machine import resident_bytes
from agent.inference.settings import EngineSettings
from agent.prompts import Message, Sampling

pytestmark = pytest.mark.model

SETTINGS = EngineSettings(context_tokens=256, slots=2, queue_size=8, prefix_rows=0)
QUESTIONS = ("Name three rivers.", "What is 2+2?", "Why is the sky blue?")


async def answered(models: CurrentModel, question: str) -> str:
    with models.held() as model:
        pieces = [piece async for piece in model.generate([Message("user", question)], Sampling(max_tokens=12))]
    assert isinstance(pieces[-1], Finished)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece))


async def test_a_closed_model_gives_its_memory_back_though_it_is_still_held(bundle_folder: Path) -> None:
    engine = Engine(bundle_folder, SETTINGS)
    await engine.score("What is it that lies in memory?")
    open_bytes = resident_bytes()
    await engine.close()
    gc.collect()
    weights_bytes = sum(entry.size_bytes for entry in engine.bundle.files.values())
    assert open_bytes - resident_bytes() > weights_bytes // 2


@pytest.mark.parametrize("both_fit", [True, False])
async def test_every_prompt_is_answered_as_before_while_the_model_is_exchanged_for_itself(bundle_folder: Path, both_fit: bool) -> None:
    models = CurrentModel(lambda folder: Engine(folder, SETTINGS), lambda _: both_fit)
    await models.exchange(bundle_folder)
    expected = {question: await answered(models, question) for question in QUESTIONS}
    counts = {"answered": 0, "refused": 0}
    is_over = False

    async def ask(question: str) -> None:
        while not is_over:
            try:
                assert await answered(models, question) == expected[question]
                counts["answered"] += 1
            except ModelAway:
                counts["refused"] += 1
                await asyncio.sleep(0.05)

    asking = [asyncio.create_task(ask(question)) for question in QUESTIONS]
    for _ in range(2):
        await models.exchange(bundle_folder)
        assert await answered(models, QUESTIONS[0]) == expected[QUESTIONS[0]]
    is_over = True
    await asyncio.gather(*asking)
    await models.close()
    assert counts["answered"] > len(QUESTIONS)
    assert (counts["refused"] == 0) == both_fit
