"""The router: which provider answers, what happens when it fails, and when it is left alone."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from contract.classification import DataClass
from contract.errors import InvalidRequest, NotPossibleNow, Reason, Unavailable
from contract.surroundings import Provider
from hub.config import Limits
from hub.escalation.circuits import Circuits
from hub.escalation.metering import Meter
from hub.escalation.prompts import Completion, Escalation, TextDelta, Tier, Turn
from hub.escalation.providers.base import ProviderFailed, ProviderRefused
from hub.escalation.router import Router
from tests.fakes.provider import FINISH, FakeProvider, answering

TIERS: tuple[Tier, ...] = ("private", "public")
NAMES = (
    "moved",
    "refusing",
    "waiting",
    "first",
    "second",
    "one",
    "two",
    "good",
    "bad",
    "flaky",
    "breaking",
    "silent",
    "slow",
    "private-one",
    "public-one",
)
LIMITS = Limits(breaker_failures=2, breaker_seconds=3600)


def escalation(*tiers: Tier) -> Escalation:
    allowed = frozenset(Provider(name, tier, f"{name}-region") for name in NAMES for tier in tiers or TIERS)
    return Escalation("id", "plant-7", (Turn("user", "hi"),), allowed, DataClass.PUBLIC, 10, 0.0)


def router(*providers: FakeProvider, limits: Limits = LIMITS) -> Router:
    return Router(providers, Circuits(limits), Meter(CollectorRegistry(), lambda: 0.0))


async def answer(subject: Router, *tiers: Tier) -> list[TextDelta | Completion]:
    return [piece async for piece in subject.answer(escalation(*tiers))]


def whole(name: str, *texts: str, tier: Tier = "private") -> list[TextDelta | Completion]:
    return [*(TextDelta(text) for text in texts), Completion(name, tier, f"{name}-region", FINISH)]


def failing(name: str = "bad", error: Exception | None = None, **settings: Any) -> FakeProvider:
    return FakeProvider(name, [error or ProviderFailed("connection")], **settings)


async def test_the_first_one_answers() -> None:
    first, second = answering("first", "a", "b"), answering("second", "c")
    assert await answer(router(first, second)) == whole("first", "a", "b")
    assert second.asked == []


async def test_a_tier_that_is_not_allowed_is_never_asked() -> None:
    private, public = failing("private-one"), answering("public-one", "x", tier="public")
    subject = router(public, private)
    with pytest.raises(Unavailable):
        await answer(subject, "private")
    assert public.asked == []
    assert await answer(subject, "public") == whole("public-one", "x", tier="public")


@pytest.mark.parametrize("providers", [[], [answering("public-one", "x", tier="public")]])
async def test_without_an_allowed_provider_nothing_is_sent(providers: Sequence[FakeProvider]) -> None:
    with pytest.raises(NotPossibleNow) as raised:
        await answer(router(*providers), "private")
    assert raised.value.reason is Reason.NO_PROVIDER_ALLOWED


@pytest.mark.parametrize("error", [ProviderFailed("connection"), ProviderRefused("status_400")])
async def test_the_next_one_answers_when_one_fails_before_its_first_word(error: ProviderFailed) -> None:
    assert await answer(router(failing(error=error), answering("good", "x"))) == whole("good", "x")


async def test_after_the_first_word_an_error_ends_the_answer() -> None:
    breaking, good = FakeProvider("breaking", [TextDelta("half"), ProviderFailed("connection")]), answering("good", "x")
    pieces = router(breaking, good).answer(escalation())
    assert await anext(pieces) == TextDelta("half")
    with pytest.raises(Unavailable) as raised:
        await anext(pieces)
    assert raised.value.reason is Reason.PROVIDERS_UNAVAILABLE
    assert good.asked == []


async def test_when_all_fail_it_is_unavailable() -> None:
    with pytest.raises(Unavailable) as raised:
        await answer(router(failing("one"), failing("two", ProviderRefused("status_400"))))
    assert raised.value.reason is Reason.PROVIDERS_UNAVAILABLE


async def test_when_all_refuse_the_prompt_it_is_the_prompts_fault() -> None:
    refused = ProviderRefused("status_400")
    with pytest.raises(InvalidRequest) as raised:
        await answer(router(failing("one", refused), failing("two", refused)))
    assert raised.value.reason is Reason.PROMPT_INVALID


async def test_a_provider_that_fails_in_a_row_is_left_alone() -> None:
    bad = failing()
    subject = router(bad, answering("good", "x"))
    for _ in range(5):
        assert await answer(subject) == whole("good", "x")
    assert len(bad.asked) == 2


async def test_an_answer_that_breaks_off_counts_as_a_failure() -> None:
    breaking = FakeProvider("breaking", [TextDelta("half"), ProviderFailed("connection")])
    subject = router(breaking, answering("good", "x"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await answer(subject)
    assert await answer(subject) == whole("good", "x")


async def test_a_good_answer_forgives_earlier_failures() -> None:
    flaky = failing("flaky")
    subject = router(flaky, answering("good", "x"))
    for _ in range(3):
        flaky.script = [ProviderFailed("connection")]
        await answer(subject)
        flaky.script = [TextDelta("up"), FINISH]
        assert await answer(subject) == whole("flaky", "up")


async def test_a_refused_prompt_does_not_cut_the_provider_off() -> None:
    refusing = failing("refusing", ProviderRefused("status_400"))
    subject = router(refusing, answering("good", "x"))
    for _ in range(4):
        await answer(subject)
    assert len(refusing.asked) == 4


async def test_a_caller_who_leaves_does_not_cut_the_provider_off() -> None:
    waiting = FakeProvider("waiting", [TextDelta("half"), asyncio.Event()])
    subject = router(waiting)
    for _ in range(4):
        pieces = subject.answer(escalation())
        assert await anext(pieces) == TextDelta("half")
        await pieces.aclose()
    assert len(waiting.asked) == waiting.left == 4


async def test_after_its_rest_a_provider_gets_one_prompt_to_prove_itself() -> None:
    flaky = failing("flaky")
    subject = router(flaky, answering("good", "x"), limits=Limits(breaker_failures=1, breaker_seconds=0.001))
    await answer(subject)
    flaky.script = [TextDelta("up"), FINISH]
    await asyncio.sleep(0.01)
    proof = subject.answer(escalation())
    assert await anext(proof) == TextDelta("up")
    assert await answer(subject) == whole("good", "x")
    assert [piece async for piece in proof] == whole("flaky")
    assert await answer(subject) == whole("flaky", "up")


async def test_a_provider_that_is_cut_off_costs_no_memory() -> None:
    subject = Circuits(Limits(breaker_failures=1, breaker_seconds=3600))
    with pytest.raises(ProviderFailed):
        async with subject.closed("x"):
            raise ProviderFailed("connection")
    for _ in range(10):
        with pytest.raises(ProviderFailed) as raised:
            async with subject.closed("x"):
                pass
    opened = raised.value.__context__
    assert opened is not None
    assert opened.__traceback__ is None


async def test_a_silent_provider_makes_room_for_the_next() -> None:
    silent = FakeProvider("silent", [asyncio.Event()], first_token_seconds=0.01)
    assert await answer(router(silent, answering("good", "x"))) == whole("good", "x")
    assert silent.left == 1


async def test_an_answer_that_takes_too_long_as_a_whole_is_ended() -> None:
    slow = FakeProvider("slow", [TextDelta("half"), asyncio.Event()], first_token_seconds=60, timeout_seconds=0.05)
    with pytest.raises(ProviderFailed) as raised:
        await answer(router(slow))
    assert raised.value.error_type == "timeout"
    assert slow.left == 1


async def test_the_first_words_limit_ends_with_the_first_word() -> None:
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, gate.set)
    slow = FakeProvider("slow", [TextDelta("half"), gate, FINISH], first_token_seconds=0.05, timeout_seconds=60)
    assert await answer(router(slow)) == whole("slow", "half")


async def test_closing_closes_every_provider() -> None:
    one, two = answering("one"), answering("two")
    await router(one, two).close()
    assert one.closed
    assert two.closed


async def test_a_provider_that_was_changed_since_it_was_allowed_is_never_asked() -> None:
    moved = answering("moved", "x", operator="somebody-else")
    with pytest.raises(NotPossibleNow) as raised:
        await answer(router(moved))
    assert raised.value.reason is Reason.NO_PROVIDER_ALLOWED
    assert moved.asked == []
