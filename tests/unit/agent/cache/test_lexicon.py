"""Endings come off where a word stays the same, and nowhere else."""

import pytest

from agent.cache.reading.lexicon import are_opposite, canonical, ending


@pytest.mark.parametrize(
    "same",
    [
        ("make", "making", "made", "makes"),
        ("country", "countries"),
        ("run", "running", "ran"),
        ("buy", "bought", "purchase", "purchasing"),
        ("child", "children", "kids"),
        ("develop", "developed", "developing"),
        ("box", "boxes"),
        ("movie", "movies"),
        ("fly", "flies", "flying"),
        ("boy", "boys"),
        ("supply", "supplies"),
        ("die", "dies", "died", "dying"),
    ],
)
def test_what_means_the_same_has_one_canonical_word(same: tuple[str, ...]) -> None:
    assert len({canonical(word) for word in same}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("general", "generic"),
        ("university", "universe"),
        ("engineer", "engineering"),
        ("new", "news"),
        ("affect", "effect"),
        ("evening", "even"),
    ],
)
def test_what_means_something_else_has_another(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("enable", "disable"), ("buying", "sell"), ("subscribe", "unsubscribe"), ("legal", "illegal"), ("minimum", "maximum")],
)
def test_opposites_are_known_both_ways_and_are_not_the_same(one: str, other: str) -> None:
    assert are_opposite(canonical(one), canonical(other))
    assert are_opposite(canonical(other), canonical(one))
    assert canonical(one) != canonical(other)


def test_a_word_is_not_its_own_opposite() -> None:
    assert not are_opposite(canonical("enable"), canonical("activate"))


def test_endings_that_tell_the_doer_from_the_done_are_kept() -> None:
    assert (ending("developing"), ending("developed"), ending("develop"), ending("king")) == ("ing", "ed", "", "")
