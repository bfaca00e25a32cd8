"""What policy decides on the path of a prompt, and what it is told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import resources

import pytest

from agent.narrowing import Narrowing
from agent.policies.in_force import Chosen, PolicyInForce
from agent.prompts import Prompt
from agent.store.database import Database
from contract.classification import DataClass, Finding
from contract.policy import Policy
from contract.surroundings import Surroundings
from tests.fakes.classifier import classifier
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.pipelines import CARD, MAIL, NOW, SURE, UNSURE, Build, ask, prompt
from tests.fakes.surroundings import HERE, HUB

SHARES = """
@id("recorded") permit (principal, action == Action::"record", resource) when { context.class == "public" };
@id("learnt") permit (principal, action == Action::"learn", resource) when { context.intake == "mqtt" };
"""


async def shared(database: Database) -> list[tuple[int, int]]:
    """Of each receipt, whether it may leave the site and whether it may be learnt from."""
    query = "SELECT may_record, may_learn FROM receipts ORDER BY sequence"
    return await database.run(lambda tables: [tuple(row) for row in tables.execute(query).fetchall()])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_card_number_keeps_an_unsure_prompt_on_the_device_and_out_of_the_cache(build: Build, stream: bool) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator)
    for _ in range(2):
        answer = await ask(pipeline, prompt(CARD, stream=stream))
        assert (answer.receipt.route, answer.receipt.data_class, answer.receipt.data_kinds) == ("local", "restricted", ("CREDIT_CARD",))
        assert answer.receipt.departure is None
        assert "restricted-stays" in answer.receipt.reasons
    assert escalator.sent == []


async def test_a_card_number_in_an_earlier_turn_keeps_the_conversation_on_the_device(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator)
    await ask(pipeline, prompt(CARD, conversation="talk"))
    answer = await ask(pipeline, prompt("and now?", prompt_id="p2", conversation="talk"))
    assert answer.receipt.data_class == "restricted"
    assert escalator.sent == []


async def test_a_broken_detector_means_restricted_and_uncached(build: Build) -> None:
    def broken(text: str) -> Iterator[Finding]:
        raise RuntimeError(text)

    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, classifier=classifier(broken))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.text, answer.receipt.data_class, answer.receipt.route) == ("a", "restricted", "local")
    assert escalator.sent == []


async def test_an_empty_policy_denies_everything_but_the_local_answer(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, policy=Policy(""))
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.receipt.route, answer.receipt.provisional) == ("local", False)
        assert "default-deny" in answer.receipt.reasons
    assert escalator.sent == []


async def test_an_unsure_answer_is_provisional_and_not_kept_where_the_hub_is_not_known_yet(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, surroundings=Surroundings)
    for _ in range(2):
        answer = await ask(pipeline, prompt("hello"))
        assert (answer.receipt.route, answer.receipt.provisional) == ("local", True)
        assert "hub-unknown" in answer.receipt.reasons
    assert escalator.sent == []


async def test_a_provider_that_is_gone_when_the_hub_is_connected_is_not_sent_the_prompt(build: Build) -> None:
    known = [HERE, replace(HERE, hub=replace(HUB, providers=()))]
    escalator = FakeEscalator(["cloud"])
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, surroundings=lambda: known.pop(0) if len(known) > 1 else known[0])
    assert (await ask(pipeline, prompt("hello"))).receipt.route == "local"
    assert escalator.sent == []


async def test_the_policy_is_told_by_which_way_a_prompt_came(build: Build) -> None:
    by_mqtt = (
        '@id("by-mqtt") permit (principal, action in [Action::"pass", Action::"escalate"], resource) when { context.intake == "mqtt" };'
    )
    pipeline = build(FakeEngine(["a"], UNSURE), FakeEscalator(["cloud"]), policy=Policy(by_mqtt))
    assert (await ask(pipeline, prompt("hello", intake="http"))).receipt.route == "local"
    assert (await ask(pipeline, prompt("hello", intake="mqtt"))).receipt.route == "escalated"


async def test_policy_and_hub_are_told_how_long_the_answer_may_still_take_in_steps_and_nothing_where_the_client_does_not_say(
    build: Build,
) -> None:
    in_time = (
        '@id("in-time") permit (principal, action in [Action::"pass", Action::"escalate"], resource) '
        "when { context has latency_milliseconds && context.latency_milliseconds > 4000 };"
    )
    escalator, five_seconds_ago = FakeEscalator(["cloud"]), NOW - timedelta(seconds=5)
    pipeline = build(FakeEngine(["a"], UNSURE), escalator, policy=Policy(in_time))
    for timeout_seconds, route in ((14.9, "escalated"), (9.0, "local"), (4.0, "local"), (None, "local")):
        asked = replace(prompt("hello", prompt_id=str(timeout_seconds)), timeout_seconds=timeout_seconds, received_time=five_seconds_ago)
        assert (await ask(pipeline, asked)).receipt.route == route
    assert [around.latency_milliseconds for around in escalator.around] == [8192]


async def test_what_is_left_to_spend_is_known_to_the_policy_and_told_to_the_hub(build: Build) -> None:
    spare = (
        '@id("spare") forbid (principal, action == Action::"escalate", resource) '
        "when { context has budget_tokens && context.budget_tokens < 64 };"
    )
    shipped = resources.files("contract").joinpath("default.cedar").read_text()
    left, escalator = [128, 32], FakeEscalator(["cloud"])
    for tokens, route in zip(left, ("escalated", "local"), strict=True):
        around = replace(HERE, budget_tokens=tokens)
        pipeline = build(FakeEngine(["a"], UNSURE), escalator, policy=Policy(shipped + spare), surroundings=lambda around=around: around)
        assert (await ask(pipeline, prompt(f"hello {tokens}", intake="mqtt"))).receipt.route == route
    assert [(around.budget_tokens, around.intake) for around in escalator.around] == [(128, "mqtt")]


async def test_a_policy_that_is_exchanged_while_a_prompt_waits_keeps_it_on_the_device(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])
    chosen = [Chosen(Policy(text), text, "test") for text in ('@id("all") permit (principal, action, resource);', "")]
    policy, seen = PolicyInForce(lambda: chosen.pop(0)), list[str]()

    def surroundings() -> Surroundings:
        """Asked for each time that it is decided: before the model is, and before the prompt leaves."""
        if len(seen) == 1:
            policy.refresh()
        seen.append(policy.digest)
        return HERE

    answer = await ask(build(FakeEngine(["a"], UNSURE), escalator, policy=policy, surroundings=surroundings), prompt("hello"))
    assert (answer.receipt.route, escalator.sent) == ("local", [])
    assert "default-deny" in answer.receipt.reasons


async def test_what_the_policy_allows_of_a_receipt_is_kept_beside_it_and_what_allows_it_stands_in_it(
    build: Build, database: Database
) -> None:
    pipeline = build(FakeEngine(["a"], SURE), policy=Policy(SHARES))
    reasons = [(await ask(pipeline, asked)).receipt.reasons for asked in (prompt("hello", intake="mqtt"), prompt(CARD, prompt_id="p2"))]
    assert await shared(database) == [(1, 1), (0, 0)]
    assert {"recorded", "learnt"} <= set(reasons[0])
    assert {"recorded", "learnt"}.isdisjoint(reasons[1])


async def test_under_the_shipped_policy_no_receipt_leaves_the_site_and_all_but_the_restricted_are_counted(
    build: Build, database: Database
) -> None:
    pipeline = build(FakeEngine(["a"], SURE))
    for number, text in enumerate(("hello", MAIL, CARD)):
        await ask(pipeline, prompt(text, prompt_id=f"p{number}"))
    assert await shared(database) == [(0, 1), (0, 1), (0, 0)]


async def test_a_class_that_is_raised_allows_no_more_of_a_receipt_than_the_one_that_was_found(build: Build, database: Database) -> None:
    odd = '@id("odd") permit (principal, action, resource) when { context.class != "public" };'
    for floor in (DataClass.PUBLIC, DataClass.INTERNAL):
        await ask(build(FakeEngine(["a"], SURE), policy=Policy(odd), narrowing=lambda floor=floor: Narrowing(floor=floor)), prompt("hello"))
    assert await shared(database) == [(0, 0), (0, 0)]


async def test_a_clients_floor_holds_for_its_prompts_alone(build: Build) -> None:
    escalator = FakeEscalator(["cloud"])

    def floors(asked: Prompt) -> tuple[DataClass, ...]:
        return (DataClass.RESTRICTED,) if asked.client == "c1" else ()

    pipeline = build(FakeEngine(["a"], UNSURE), escalator, floors=floors)
    assert (await ask(pipeline, prompt("hello"))).receipt.data_class == "restricted"
    assert (await ask(pipeline, prompt("hello", client="c2", prompt_id="p2"))).receipt.data_class == "public"
    assert len(escalator.sent) == 1
