"""Whatever comes, every answer is the one that its prompt would have had alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inference.answer import Finished, Piece
from agent.inference.batcher import Batcher, Item
from agent.inference.settings import EngineSettings
from agent.inference.waiting import Request
from agent.prompts import Sampling
from contract.errors import Busy, Reason
from tests.fakes.model import STOP_TOKEN, VOCABULARY, FakeModel, next_token

CONTEXT_TOKENS = 160
SECONDS_A_STEP = 0.1


@dataclass
class Job:
    """A request, what may happen to it, and what came of it."""

    request: Request
    max_tokens: int
    cancelled_after: int | None = None
    tokens: list[int] = field(default_factory=list)
    end: Item | None = None

    def expected(self) -> list[int]:
        """The tokens of a run alone."""
        tokens = list(self.request.tokens)
        answer: list[int] = []
        while len(answer) < self.max_tokens:
            answer.append(next_token(tokens + answer))
            if answer[-1] == STOP_TOKEN:
                break
        return answer


class World:
    """A batcher, its fake model and a clock."""

    def __init__(self, limits: EngineSettings) -> None:
        self.limits = limits
        self.model = FakeModel(limits.slots + limits.prefix_rows, CONTEXT_TOKENS)
        self.batcher = Batcher(self.model, limits, lambda tokens: "".join(chr(97 + token) for token in tokens), [STOP_TOKEN])
        self.jobs: dict[int, Job] = {}
        self.now_seconds = 0.0

    def submit(self, job: Job) -> None:
        self.jobs[job.request.request_id] = job
        try:
            self.batcher.submit(job.request, Sampling(), job.max_tokens, np.random.default_rng(0))
        except Busy as error:
            job.end = error

    def step(self) -> None:
        self.now_seconds += SECONDS_A_STEP
        for request_id, item in self.batcher.step(self.now_seconds):
            job = self.jobs[request_id]
            assert job.end is None, "nothing follows the end"
            if isinstance(item, Piece):
                job.tokens.append(item.token_id)
            else:
                job.end = item
        for job in self.jobs.values():
            if job.end is None and job.cancelled_after is not None and len(job.tokens) >= job.cancelled_after:
                self.batcher.cancel(job.request.request_id)
                job.end = Busy(Reason.INTERNAL, "cancelled by the test")

    def run_out(self) -> None:
        for _ in range(100_000):
            if self.batcher.is_idle:
                return
            self.step()
        raise AssertionError("it never becomes idle")

    def check(self) -> None:
        for job in self.jobs.values():
            expected = job.expected()
            shown = [token for token in expected if token != STOP_TOKEN]
            if isinstance(job.end, Finished):
                assert job.tokens == shown
                assert job.end.finish_reason == ("stop" if expected[-1] == STOP_TOKEN else "length")
                assert (job.end.input_tokens, job.end.output_tokens) == (len(job.request.tokens), len(expected))
            else:
                assert job.end is not None, "nobody is left without an end"
                assert job.tokens == shown[: len(job.tokens)]
        assert not self.batcher.request_ids
        self.batcher.release_idle_rows()
        self.check_prefixes()

    def check_prefixes(self) -> None:
        kept = self.batcher.kept_prefixes
        assert sum(map(len, kept.values())) <= self.limits.prefix_tokens
        for row, tokens in kept.items():
            assert self.limits.slots <= row < self.limits.slots + self.limits.prefix_rows
            assert tuple(self.model.cache[row, : len(tokens)]) == tokens


def limits(slots: int = 4, queue_size: int = 12) -> EngineSettings:
    return EngineSettings(
        slots=slots,
        queue_size=queue_size,
        prefill_piece_tokens=16,
        shared_piece_tokens=5,
        prefix_rows=3,
        prefix_tokens=120,
        speculation_tokens=8,
    )


def random_job(chance: random.Random, number: int, openings: Sequence[tuple[int, ...]], now_seconds: float) -> Job:
    opening = chance.choice(openings)[: chance.randrange(90)]
    own = tuple(chance.randrange(1, VOCABULARY) for _ in range(chance.randrange(1, 30)))
    request = Request(
        request_id=number,
        tokens=opening + own,
        client=f"client-{chance.randrange(5)}",
        priority=chance.choice((0, 0, 0, 1)),
        deadline_seconds=now_seconds + chance.uniform(0, 20) if chance.random() < 0.2 else None,
    )
    return Job(request, chance.randrange(1, 40), chance.randrange(10) if chance.random() < 0.15 else None)


def run_random_requests(count: int, seed: int) -> World:
    chance = random.Random(seed)
    openings = [tuple(chance.randrange(1, VOCABULARY) for _ in range(90)) for _ in range(4)]
    openings += [tuple(1 + (first + index) % (VOCABULARY - 1) for index in range(90)) for first in (0, 20)]
    world = World(limits())
    for number in range(count):
        world.submit(random_job(chance, number, openings, world.now_seconds))
        for _ in range(chance.choice((0, 1, 5, 20, 60))):
            world.step()
        if chance.random() < 0.05:
            world.run_out()
            world.batcher.release_idle_rows()
    world.run_out()
    world.check()
    return world


def test_500_random_requests_end_as_they_would_alone() -> None:
    world = run_random_requests(500, seed=1)
    ends = [type(job.end) for job in world.jobs.values()]
    assert ends.count(Finished) > 200
    assert ends.count(Busy) > 50
    assert sum(positions > 1 for positions in world.model.positions) > 50, "guesses were made"


@pytest.mark.system
@pytest.mark.parametrize("seed", range(2, 22))
def test_10_000_random_requests_end_as_they_would_alone(seed: int) -> None:
    run_random_requests(500, seed)


@settings(deadline=None, max_examples=60)
@given(
    slots=st.integers(1, 3),
    prompts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=12),
)
def test_any_mix_of_lengths_and_arrivals_is_answered_right(slots: int, prompts: list[tuple[int, int, int, int]]) -> None:
    world = World(limits(slots))
    for number, (shared, own, max_tokens, pause) in enumerate(prompts):
        tokens = tuple(range(1, 1 + shared)) + tuple(1 + (number + index) % 49 for index in range(own))
        world.submit(Job(Request(number, tokens), max_tokens))
        for _ in range(pause):
            world.step()
    world.run_out()
    world.check()
