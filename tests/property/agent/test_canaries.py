"""What was planted in a prompt never leaves the site as it is, and nobody is asked who may not be, whatever fails on the way."""

import asyncio
from collections.abc import Iterator
from importlib import resources
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.prompts import Message
from agent.store.database import Database
from contract.classification import DataClass
from contract.policy import Policy
from tests.property.agent.canary_run import Canary, Run, make_turns, open_database, plant, whole_classifier

SHIPPED = resources.files("contract").joinpath("default.cedar").read_text()
NOT_FROM_US_EAST = """
@id("not-from-us-east") forbid (principal, action == Action::"escalate", resource) when { context.region == "us-east" };
"""
ALL_REDACTED = '@id("all-redacted") permit (principal, action, resource) when { context.redacted };'
POLICIES = [Policy(SHIPPED), Policy(SHIPPED + NOT_FROM_US_EAST), Policy(ALL_REDACTED), Policy("")]
"""A policy that reads a region that nobody knows fails, and so denies."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(tmp_path_factory.mktemp("canaries"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def check_found(canary: Canary) -> None:
    """A canary that no detector knows would prove nothing."""
    looked = whole_classifier().look_now([Message("user", f"about {canary.value} now")])
    assert looked.classification.data_class >= canary.least, canary


async def walk(seed: int, database: Database) -> Run:
    random = Random(seed)
    canary = plant(random)
    check_found(canary)
    run = Run(random, database, random.choice(POLICIES))
    shipped = run.policy in POLICIES[:2]
    least = DataClass.PUBLIC
    for prompt in make_turns(random, canary, seed):
        answer = await run.ask(prompt)
        if answer is not None and prompt.conversation is not None:
            assert DataClass[answer.receipt.data_class.upper()] >= least, "the class of a conversation never falls"
            least = DataClass[answer.receipt.data_class.upper()]
        if answer is not None and answer.receipt.route == "escalated" and answer.finish_reason == "stop" and not answer.receipt.provisional:
            assert answer.text == "You said: " + prompt.messages[-1].content, "what comes back is what was said"
    await run.ask_later()
    for late, answer in run.better:
        if answer.finish_reason == "stop":
            assert answer.text == "You said: " + late.prompt.messages[-1].content
    assert canary.value not in run.crossed()
    for said in run.said:
        assert canary.value not in said
    if shipped and any(asked.data_class >= DataClass.CONFIDENTIAL for provider in run.providers for asked in provider.asked):
        check_confidential(run)
    return run


def check_confidential(run: Run) -> None:
    for provider in run.providers:
        for asked in provider.asked:
            assert asked.data_class < DataClass.RESTRICTED
            if asked.data_class >= DataClass.CONFIDENTIAL:
                assert (provider.settings.tier, provider.settings.region) == ("private", run.region)
                assert run.hub.region == run.region


@given(seed=st.integers(0, 2**48))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_canary_leaves_and_nobody_is_asked_who_may_not_be(seed: int, database: Database, runner: asyncio.Runner) -> None:
    runner.run(walk(seed, database))


@pytest.mark.system
def test_no_canary_leaves_in_twenty_thousand_runs(database: Database, runner: asyncio.Runner) -> None:
    escalated = later = answered = 0
    for seed in range(20_000):
        run = runner.run(walk(seed, database))
        escalated += bool(run.link.crossed)
        later += bool(run.crossed_later())
        answered += bool(run.better)
    print(f"{escalated} of 20,000 runs sent something, {later} of them later, which {answered} times brought a better answer")
    assert escalated > 2000
    assert answered > 200


def test_runs_do_send_redacted_prompts_and_do_fail(database: Database, runner: asyncio.Runner) -> None:
    runs = [runner.run(walk(seed, database)) for seed in range(60)]
    assert sum(bool(run.link.crossed) for run in runs) > 5
    assert any("<" in run.crossed() for run in runs)
    assert sum(bool(run.crossed_later()) for run in runs) > 3
    assert any(run.better for run in runs)
    assert any("<" in run.crossed_later() for run in runs)
    assert any("classifier failed" in said for run in runs for said in run.said)
