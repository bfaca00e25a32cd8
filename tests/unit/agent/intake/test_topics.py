import pytest

from agent.intake.topics import ClientTopics, check_leaf, split, subscription
from contract.errors import InvalidRequest, NotFound, Reason

DEVICE = ClientTopics("a1", "device")
PREFIX = "seawall/v1/agents/a1/clients/device/"


def test_answers_and_pieces_have_topics_under_the_clients_prefix() -> None:
    assert DEVICE.answers == PREFIX + "answers"
    assert DEVICE.chunks == PREFIX + "chunks"


def test_the_subscription_matches_what_clients_send() -> None:
    assert subscription("a1") == "seawall/v1/agents/a1/clients/+/+"
    assert split(PREFIX + "prompts") == ("device", "prompts")


@pytest.mark.parametrize("topic", [PREFIX + "answers", PREFIX + "x", PREFIX + "a/b/c", PREFIX + "é ü", PREFIX + "/"])
def test_a_response_topic_under_the_prefix_is_used(topic: str) -> None:
    assert DEVICE.reply_topic(topic) == topic


def test_without_a_response_topic_the_answer_goes_to_the_default() -> None:
    assert DEVICE.reply_topic(None) == PREFIX + "answers"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "other",
        PREFIX,
        PREFIX[:-1],
        PREFIX + "prompts",
        PREFIX + "feedback",
        PREFIX.replace("device", "device2") + "answers",
        PREFIX.replace("a1", "a2") + "answers",
        PREFIX + "+",
        PREFIX + "a/#",
        PREFIX + "a\0",
        PREFIX + "bell\x07",
        PREFIX + "\u2028",
        PREFIX + "x" * 1025,
        PREFIX + "/" * 200,
        "$SYS/" + PREFIX + "answers",
        " " + PREFIX + "answers",
    ],
)
def test_any_other_response_topic_is_refused(topic: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        DEVICE.reply_topic(topic)
    assert refused.value.reason == Reason.FIELD_INVALID
    assert PREFIX in refused.value.message


def test_prompts_come_from_one_topic_only() -> None:
    check_leaf("prompts")
    with pytest.raises(NotFound, match=r"\.\.\./prompt: send prompts to \.\.\./prompts") as refused:
        check_leaf("prompt")
    assert refused.value.reason == Reason.TOPIC_UNKNOWN
