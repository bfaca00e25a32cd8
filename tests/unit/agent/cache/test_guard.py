"""What the guard refuses and what it lets pass, rule by rule; the pairs are in guard_pairs.toml."""

import tomllib
from itertools import chain
from pathlib import Path

import pytest

from agent.cache.guard import MOST_CHARACTERS, Refusal, refusal

RULES = tomllib.loads((Path(__file__).parent / "guard_pairs.toml").read_text("utf-8"))["rule"]


def pairs(kind: str) -> list[tuple[str, str]]:
    return [(one, other) for rule in RULES for one, other in rule[kind]]


@pytest.mark.parametrize(("one", "other"), pairs("refused"))
def test_an_answer_to_another_question_is_refused_whichever_comes_first(one: str, other: str) -> None:
    assert refusal(one, other) is not None
    assert refusal(one, other) == refusal(other, one)


@pytest.mark.parametrize(("one", "other"), pairs("passed"))
def test_the_same_question_in_other_words_passes_whichever_comes_first(one: str, other: str) -> None:
    assert refusal(one, other) is None
    assert refusal(other, one) is None


@pytest.mark.parametrize("question", sorted(set(chain.from_iterable((one, other) for one, other in pairs("refused")))))
def test_every_question_passes_with_itself(question: str) -> None:
    assert refusal(question, question) is None


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("What is 17 plus 4?", "What is 17 plus 5?", Refusal.NUMBER),
        ("What is the weather today?", "What is the weather tomorrow?", Refusal.TIME),
        ("What is the capital of France?", "What is the capital of Spain?", Refusal.NAME),
        ("Which birds can fly?", "Which birds cannot fly?", Refusal.NEGATION),
        ("How do I enable 2FA?", "How do I disable 2FA?", Refusal.OPPOSITE),
        ("How do I delete all messages?", "How do I delete messages?", Refusal.QUANTIFIER),
        ("When did Rome fall?", "Why did Rome fall?", Refusal.QUESTION),
        ("Can I eat raw eggs?", "Should I eat raw eggs?", Refusal.MODALITY),
        ("Who are you?", "Who am I?", Refusal.PERSON),
        ("Did the dog bite the man?", "Did the man bite the dog?", Refusal.DIRECTION),
        ("What is a developed country?", "What is a developing country?", Refusal.FORM),
        ("What does `rm -r` do?", "What does `rm -i` do?", Refusal.CODE),
        ('What does "carpe diem" mean?', 'What does "memento mori" mean?', Refusal.QUOTED),
        ("What is bread?", "Что такое хлеб?", Refusal.LANGUAGE),
        ("Where can I buy paint?", "Where can I buy paint online?", Refusal.ADDED),
        ("Where can I buy paint?", "Where can I buy glue?", Refusal.WORD),
        ("word " * MOST_CHARACTERS, "word", Refusal.LONG),
    ],
)
def test_the_rule_that_refuses_is_named(one: str, other: str, why: Refusal) -> None:
    assert refusal(one, other) is why


def test_each_rule_can_be_the_one_that_refuses() -> None:
    named = {mark.args[1][place][2] for mark in test_the_rule_that_refuses_is_named.pytestmark for place in range(len(mark.args[1]))}  # type: ignore[attr-defined]
    assert named == set(Refusal)


def test_the_end_of_a_contraction_alone_is_read_too() -> None:
    assert refusal("n't", "n't") is None
    assert refusal("n't", "Why do pumps hum?") is not None
