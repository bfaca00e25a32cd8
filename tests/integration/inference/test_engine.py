"""The engine with the real model."""

import asyncio
import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.inference.engine import Engine, Finished, Piece
from agent.inference.settings import EngineSettings
from agent.prompts import Message, Sampling
from contract.errors import Busy, InvalidRequest, PromptTooLong, Reason, Unavailable
from contract.health import TEXT

pytestmark = pytest.mark.model

QUESTIONS = (
    "Name three rivers.",
    "What is 2+2?",
    "Write a poem about rain.",
    "Why is the sky blue?",
    "Say: 🌊é漢字🙂",
    "List five fruits.",
)
LONG_STORY = "Once upon a time there was a lighthouse keeper who counted ships. " * 25


def user(text: str) -> list[Message]:
    return [Message("user", text)]


async def answer(engine: Engine, messages: Sequence[Message], sampling: Sampling, **options: float) -> tuple[str, list[Piece], Finished]:
    pieces: list[Piece] = []
    async for item in engine.generate(messages, sampling, **options):  # type: ignore[arg-type]
        if isinstance(item, Finished):
            return "".join(piece.text for piece in pieces), pieces, item
        pieces.append(item)
    raise AssertionError("no Finished came")


async def test_an_answer_is_whole_characters_with_log_probabilities_and_counts(engine: Engine) -> None:
    text, pieces, finished = await answer(engine, user("Say: 🌊é漢字🙂"), Sampling(max_tokens=30))
    assert text
    assert "\ufffd" not in text
    told = [piece.logprob for piece in pieces if piece.logprob is not None]
    assert len(told) == len(pieces)
    assert all(-30 < logprob <= 0 for logprob in told)
    assert math.exp(sum(told) / len(told)) > 0.2
    assert finished.input_tokens == engine.count_tokens(user("Say: 🌊é漢字🙂"))
    assert finished.output_tokens <= 30


async def test_answers_at_once_are_the_answers_one_by_one(engine: Engine) -> None:
    sampling = Sampling(max_tokens=24)
    alone = [await answer(engine, user(question), sampling) for question in QUESTIONS]
    together = await asyncio.gather(*(answer(engine, user(question), sampling) for question in QUESTIONS))
    assert [text for text, *_ in together] == [text for text, *_ in alone]
    assert len({text for text, *_ in alone}) == len(QUESTIONS)


async def test_a_conversation_with_a_warm_prefix_has_the_tokens_of_cold_runs(bundle_folder: Path, engine: Engine) -> None:
    cold = Engine(bundle_folder, EngineSettings(context_tokens=1024, slots=1, prefix_rows=0))
    messages = [Message("system", LONG_STORY[:400])]
    try:
        for question in QUESTIONS[:3]:
            messages.append(Message("user", question))
            text, warm_pieces, _ = await answer(engine, messages, Sampling(max_tokens=8))
            _, cold_pieces, _ = await answer(cold, messages, Sampling(max_tokens=8))
            assert [(piece.token_id, piece.logprob) for piece in warm_pieces] == [(piece.token_id, piece.logprob) for piece in cold_pieces]
            messages.append(Message("assistant", text))
    finally:
        await cold.close()


async def test_the_same_seed_gives_the_same_answer_and_another_one_another(engine: Engine) -> None:
    texts = [(await answer(engine, user("Tell me a story."), Sampling(max_tokens=20, temperature=1.0, seed=seed)))[0] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


async def test_a_stop_sequence_ends_the_answer_before_it(engine: Engine) -> None:
    whole, *_ = await answer(engine, user("List five fruits."), Sampling(max_tokens=40))
    stop = whole[len(whole) // 2 :][:7]
    text, _, finished = await answer(engine, user("List five fruits."), Sampling(max_tokens=40, stop=(stop,)))
    assert text == whole[: whole.index(stop)]
    assert finished.finish_reason == "stop"


async def test_max_tokens_ends_the_answer(engine: Engine) -> None:
    _, pieces, finished = await answer(engine, user("Count to a hundred."), Sampling(max_tokens=5))
    assert (len(pieces), finished.finish_reason, finished.output_tokens) == (5, "length", 5)


async def test_the_context_ends_the_answer(engine: Engine) -> None:
    words = "sea " * 450
    _, pieces, finished = await answer(engine, user(words), Sampling(max_tokens=500, temperature=1.0, seed=1))
    assert finished.finish_reason in {"length", "stop"}
    assert finished.input_tokens + len(pieces) <= engine.context_tokens


async def test_a_prompt_over_the_context_is_refused_with_both_numbers(engine: Engine) -> None:
    with pytest.raises(PromptTooLong, match=r"has \d+ tokens.*takes 511") as caught:
        await answer(engine, user("sea " * 600), Sampling())
    assert caught.value.reason is Reason.PROMPT_TOO_LONG


async def test_sampling_values_that_mean_nothing_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="temperature"):
        await answer(engine, user("hi"), Sampling(temperature=-1))


async def test_leaving_early_frees_the_slot(engine: Engine) -> None:
    for _ in range(2 * 4 + 4 + 1):  # more than slots and queue hold
        async with contextlib.aclosing(engine.generate(user("Tell me a long story."), Sampling(max_tokens=400))) as items:
            async for _item in items:
                break
    _, _, finished = await answer(engine, user("What is 2+2?"), Sampling(max_tokens=3))
    assert finished.output_tokens == 3


async def test_a_full_queue_refuses_at_once_and_the_others_are_answered(engine: Engine) -> None:
    results = await asyncio.gather(
        *(answer(engine, user(f"Say {number}."), Sampling(max_tokens=8)) for number in range(12)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Busy)]
    assert refused
    assert all(error.reason is Reason.QUEUE_FULL for error in refused)
    assert len(refused) + sum(isinstance(result, tuple) for result in results) == 12


async def test_a_deadline_ends_the_work(engine: Engine) -> None:
    with pytest.raises(Busy) as caught:
        await answer(engine, user("Tell me a long story."), Sampling(max_tokens=400, temperature=1.0, seed=1), deadline_seconds=0.2)
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED


async def test_while_a_long_text_is_encoded_and_prefilled_the_loop_goes_on(engine: Engine) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticker = asyncio.create_task(tick())
    await answer(engine, user(LONG_STORY), Sampling(max_tokens=1))
    ticker.cancel()
    assert ticks >= 5


async def test_no_more_log_probabilities_are_told_than_are_asked_for(bundle_folder: Path) -> None:
    engine = Engine(bundle_folder, EngineSettings(context_tokens=256, slots=1, logprob_tokens=3))
    _, pieces, _ = await answer(engine, user("Count to ten."), Sampling(max_tokens=6))
    await engine.close()
    assert [piece.logprob is not None for piece in pieces] == [True] * 3 + [False] * (len(pieces) - 3)
    assert len(pieces) > 3


async def test_closing_ends_what_is_under_way_and_refuses_what_comes(bundle_folder: Path) -> None:
    engine = Engine(bundle_folder, EngineSettings(context_tokens=1024, slots=1))
    items = engine.generate(user("Tell me a long story."), Sampling(max_tokens=400))
    assert isinstance(await anext(items), Piece)
    await engine.close()
    with pytest.raises(Unavailable):
        async for _ in items:
            pass
    with pytest.raises(Unavailable) as caught:
        await answer(engine, user("hi"), Sampling())
    assert caught.value.reason is Reason.AGENT_STOPPING


async def test_a_text_is_scored_while_others_are_answered_and_noise_is_less_likely(engine: Engine) -> None:
    sampling = Sampling(max_tokens=24)
    alone, _, _ = await answer(engine, user(QUESTIONS[0]), sampling)
    noise = " ".join(reversed(TEXT.split()))
    (together, _, _), text, shuffled = await asyncio.gather(
        answer(engine, user(QUESTIONS[0]), sampling), engine.score(TEXT), engine.score(noise, priority=-1)
    )
    assert together == alone
    assert 20 < text.perplexity < 45
    assert shuffled.perplexity > 5 * text.perplexity
    assert all(-40 < logprob <= 0 for logprob in text.logprobs)
    with pytest.raises(InvalidRequest):
        await engine.score("a")
