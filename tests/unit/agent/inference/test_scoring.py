"""A text is scored among answers, in pieces, and costs them no more than a prompt would."""

import math

import numpy as np
import pytest

from agent.inference.answer import Finished
from agent.inference.batcher import Batcher, Item
from agent.inference.sampling import log_probability
from agent.inference.scoring import Scored, Scoring
from agent.inference.settings import EngineSettings
from agent.inference.waiting import Request
from agent.prompts import Sampling
from contract.errors import Busy
from tests.fakes.model import VOCABULARY, FakeModel

SETTINGS = EngineSettings(slots=2, prefill_piece_tokens=16, shared_piece_tokens=8, scored_piece_tokens=5, prefix_rows=2, prefix_tokens=100)
TEXT = tuple(1 + (7 * index) % (VOCABULARY - 1) for index in range(23))
RANDOM = np.random.default_rng(0)


class World:
    def __init__(self) -> None:
        self.model = FakeModel(4, 200)
        self.batcher = Batcher(self.model, SETTINGS, lambda tokens: "x" * len(tokens), [0])
        self.items: dict[int, list[Item]] = {}

    def submit(self, request: Request, max_tokens: int = 20) -> None:
        self.items[request.request_id] = []
        self.batcher.submit(request, Sampling(), max_tokens, RANDOM)

    def run(self, now_seconds: float = 0.0) -> None:
        for _ in range(10_000):
            if self.batcher.is_idle:
                return
            for request_id, item in self.batcher.step(now_seconds):
                self.items[request_id].append(item)
        raise AssertionError("it never becomes idle")


def expected() -> tuple[float, ...]:
    model = FakeModel(1, 200)
    logits = model.extend(0, TEXT, 0, len(TEXT))
    return tuple(log_probability(row, token) for row, token in zip(logits, TEXT[1:], strict=False))


def test_pieces_score_as_the_whole_text_would() -> None:
    world = World()
    world.submit(Request(1, TEXT, is_scored=True))
    world.run()
    assert world.items == {1: [Scored(expected())]}
    assert max(world.model.fed) <= SETTINGS.scored_piece_tokens + 1
    assert world.batcher.request_ids == ()


def test_answers_go_on_between_the_pieces_and_come_out_as_they_would_alone() -> None:
    alone, together = World(), World()
    for world in (alone, together):
        world.submit(Request(2, TEXT[:9]))
        if world is together:
            world.submit(Request(1, TEXT, is_scored=True))
        world.run()
    assert together.items[2] == alone.items[2]
    assert isinstance(together.items[2][-1], Finished)
    assert together.items[1] == [Scored(expected())]


def test_a_known_prefix_is_scored_all_the_same_and_a_scored_text_is_no_prefix() -> None:
    world = World()
    world.submit(Request(1, TEXT))
    world.run()
    kept = world.batcher.kept_prefixes
    world.submit(Request(2, TEXT, is_scored=True))
    world.run()
    assert world.items[2] == [Scored(expected())]
    assert world.batcher.kept_prefixes == kept


def test_a_text_that_nobody_waits_for_any_more_leaves_nothing() -> None:
    world = World()
    world.submit(Request(1, TEXT, is_scored=True))
    world.batcher.step(0.0)
    world.batcher.cancel(1)
    world.submit(Request(2, TEXT, is_scored=True, deadline_seconds=5.0))
    world.run(now_seconds=6.0)
    assert world.items[1] == []
    assert isinstance(world.items[2][0], Busy)
    assert world.batcher.request_ids == ()


def test_perplexity_is_e_to_the_mean_negative_log_probability() -> None:
    assert Scored((math.log(0.5), math.log(0.125))).perplexity == pytest.approx(4)
    assert Scored((-math.inf, -1.0)).perplexity == math.inf
    assert Scored((-5000.0,)).perplexity == pytest.approx(math.exp(700))


def test_what_follows_the_last_token_is_not_asked() -> None:
    scoring = Scoring([1, 2])
    scoring.take(0, np.zeros((2, 4), np.float32))
    assert scoring.scored().logprobs == pytest.approx([-math.log(4)])
