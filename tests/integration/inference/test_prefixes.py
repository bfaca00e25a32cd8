"""A warm prefix gives what a cold run gives, to the last bit."""

import random
from pathlib import Path

import numpy as np
import pytest

from agent.inference.answer import Piece
from agent.inference.batcher import Batcher
from agent.inference.loading import load_bundle
from agent.inference.session import ModelSession
from agent.inference.settings import EngineSettings
from agent.inference.waiting import Request
from agent.prompts import Sampling
from contract.bundle import MODEL_FILE

pytestmark = pytest.mark.model

SETTINGS = EngineSettings(slots=1, context_tokens=256, prefix_rows=3, prefix_tokens=300, shared_piece_tokens=17, prefill_piece_tokens=40)


@pytest.fixture(scope="module")
def session(bundle_folder: Path) -> ModelSession:
    shape = load_bundle(bundle_folder, verify=False).shape
    rows = SETTINGS.slots + SETTINGS.prefix_rows
    return ModelSession(bundle_folder / MODEL_FILE, shape, rows + 1, SETTINGS.context_tokens, threads=2)


def check_random_prompts(session: ModelSession, count: int, seed: int) -> int:
    """Answers prompts that share beginnings, and each of them cold in the last row; returns how many tokens were not fed again."""
    chance = random.Random(seed)
    openings = [tuple(chance.randrange(100, 40_000) for _ in range(120)) for _ in range(3)]
    batcher = Batcher(session, SETTINGS, str, stop_token_ids=[])
    cold_row = SETTINGS.slots + SETTINGS.prefix_rows
    saved = 0
    for number in range(count):
        own = tuple(chance.randrange(100, 40_000) for _ in range(chance.randrange(1, 12)))
        tokens = chance.choice(openings)[: chance.randrange(20, 120)] + own
        saved += max((_shared(tokens, kept) for kept in batcher.kept_prefixes.values()), default=0)
        cold = session.extend(cold_row, tokens, 0)[0].copy()
        batcher.submit(Request(number, tokens), Sampling(), 1, np.random.default_rng(0))
        chosen = []
        while not batcher.is_idle:
            chosen += [item.token_id for _, item in batcher.step(0.0) if isinstance(item, Piece)]
        warm = session.extend(SETTINGS.slots - 1, tokens[-2:], len(tokens) - 2)[0]
        assert chosen == [int(cold.argmax())]
        assert np.array_equal(warm, cold)
    return saved


def _shared(one: tuple[int, ...], two: tuple[int, ...]) -> int:
    return next((index for index, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def test_10_prompts_with_shared_beginnings_are_answered_as_cold(session: ModelSession) -> None:
    assert check_random_prompts(session, 10, seed=1) > 100


@pytest.mark.system
@pytest.mark.timeout(1200)
def test_1_000_prompts_with_shared_beginnings_are_answered_as_cold(session: ModelSession) -> None:
    assert check_random_prompts(session, 1000, seed=2) > 10_000
