"""What a node may announce and bring."""

import pytest

from hub.learning.answers import MOST_ANSWER_BYTES, MOST_OBJECTS, MOST_TIMES, Answers

NODE, OTHER = 1, 2
IDS = ("entry", "record", "answer")


@pytest.fixture
def answers() -> Answers:
    """One message was sent, to one node."""
    made = Answers()
    made.ask("message", NODE)
    return made


def test_an_answer_may_be_announced_again_as_it_was_and_not_otherwise(answers: Answers) -> None:
    assert answers.may_announce(NODE, "message", "answer", IDS)
    assert answers.may_announce(NODE, "message", "answer", IDS)
    assert not answers.may_announce(NODE, "message", "answer", ("junk", "answer"))
    assert not answers.may_announce(NODE, "message", "another", ("entry", "record", "another"))
    assert answers.object_ids("message") == IDS


def test_what_was_not_asked_of_the_node_is_not_announced(answers: Answers) -> None:
    assert not answers.may_announce(OTHER, "message", "answer", IDS)
    assert not answers.may_announce(NODE, "nothing", "answer", IDS)
    assert answers.object_ids("message") == ()


@pytest.mark.parametrize("object_ids", [(), ("answer", "entry"), (*map(str, range(MOST_OBJECTS)), "answer")])
def test_a_tree_that_is_none_or_anothers_or_large_is_not_announced_and_a_right_one_may_follow(
    answers: Answers, object_ids: tuple[str, ...]
) -> None:
    assert not answers.may_announce(NODE, "message", "answer", object_ids)
    assert answers.may_announce(NODE, "message", "answer", IDS)


def test_an_answer_is_announced_only_so_often(answers: Answers) -> None:
    assert all(answers.may_announce(NODE, "message", "answer", IDS) for _ in range(MOST_TIMES))
    assert not answers.may_announce(NODE, "message", "answer", IDS)


def test_only_what_was_announced_by_the_node_is_brought(answers: Answers) -> None:
    answers.ask("another message", OTHER)
    assert not answers.may_bring(NODE, "entry", 1)
    assert answers.may_announce(NODE, "message", "answer", IDS)
    assert answers.may_bring(NODE, "entry", 1)
    assert not answers.may_bring(NODE, "junk", 1)
    assert not answers.may_bring(OTHER, "entry", 1)


def test_the_objects_of_an_answer_have_one_bound_together_and_one_of_them_may_be_brought_again(answers: Answers) -> None:
    assert answers.may_announce(NODE, "message", "answer", IDS)
    assert answers.may_bring(NODE, "entry", MOST_ANSWER_BYTES - 2)
    assert answers.may_bring(NODE, "entry", MOST_ANSWER_BYTES - 2)
    assert answers.may_bring(NODE, "record", 2)
    assert not answers.may_bring(NODE, "answer", 1)


def test_to_say_that_an_object_is_smaller_makes_no_room(answers: Answers) -> None:
    assert answers.may_announce(NODE, "message", "answer", IDS)
    assert answers.may_bring(NODE, "entry", MOST_ANSWER_BYTES)
    assert answers.may_bring(NODE, "entry", 1)
    assert not answers.may_bring(NODE, "record", 1)
