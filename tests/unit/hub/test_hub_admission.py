"""Admission: what is let in, how much at once, and which requests are well formed."""

import uuid
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.classification import DataClass
from contract.errors import Busy, InvalidRequest, NotPermitted, Reason
from contract.surroundings import Provider
from hub.api.escalation import read_escalation
from hub.config import Limits
from hub.escalation.admission import Admission
from hub.escalation.prompts import Escalation, Turn
from seawall.hub.v1 import escalation_pb2 as pb

LIMITS = Limits(escalations=3, escalations_per_agent=2, messages=4, prompt_characters=100, output_tokens=50)


def escalation(agent_id: str = "a", data_class: DataClass = DataClass.PUBLIC) -> Escalation:
    return Escalation("id", agent_id, (Turn("user", "hi"),), frozenset(), data_class, 10, 0.0)


def message(role: Any, content: str) -> pb.ChatMessage:
    return pb.ChatMessage(role=role, content=content)


SYSTEM, USER, ASSISTANT = pb.MESSAGE_ROLE_SYSTEM, pb.MESSAGE_ROLE_USER, pb.MESSAGE_ROLE_ASSISTANT


HOUSE = pb.ProviderProfile(name="house", tier=pb.PROVIDER_TIER_PRIVATE, region="eu", operator="us", retention_days=0)
CLOUD = pb.ProviderProfile(name="cloud", tier=pb.PROVIDER_TIER_PUBLIC)


def request(**fields: object) -> pb.EscalatePromptRequest:
    defaults: dict[str, object] = {
        "request_id": str(uuid.uuid4()),
        "messages": [message(SYSTEM, "s"), message(USER, "hi")],
        "allowed_providers": [HOUSE],
        "data_class": pb.DATA_CLASS_INTERNAL,
    }
    return pb.EscalatePromptRequest(**{**defaults, **fields})  # type: ignore[arg-type]  # fields of all types


def test_a_restricted_prompt_is_refused() -> None:
    with pytest.raises(NotPermitted) as raised, Admission(LIMITS).admit(escalation(data_class=DataClass.RESTRICTED)):
        pytest.fail("it was let in")
    assert raised.value.reason is Reason.DATA_CLASS_NOT_ALLOWED


@pytest.mark.parametrize("data_class", [DataClass.PUBLIC, DataClass.INTERNAL, DataClass.CONFIDENTIAL])
def test_any_other_class_is_the_agents_policys_business(data_class: DataClass) -> None:
    with Admission(LIMITS).admit(escalation(data_class=data_class)):
        pass


def test_one_agent_cannot_take_every_place() -> None:
    admission = Admission(LIMITS)
    with admission.admit(escalation("a")), admission.admit(escalation("a")):
        with pytest.raises(Busy) as raised, admission.admit(escalation("a")):
            pytest.fail("it was let in")
        assert raised.value.reason is Reason.QUEUE_FULL
        with admission.admit(escalation("b")):
            pass


def test_the_hub_takes_so_many_and_forgets_those_that_left() -> None:
    admission = Admission(LIMITS)
    for _ in range(3):
        with ExitStack() as stack:
            for agent_id in "abc":
                stack.enter_context(admission.admit(escalation(agent_id)))
            with pytest.raises(Busy), admission.admit(escalation("d")):
                pytest.fail("it was let in")


def test_a_place_is_free_again_after_an_error() -> None:
    admission = Admission(Limits(escalations=1))
    for _ in range(3):
        with pytest.raises(LookupError), admission.admit(escalation()):
            raise LookupError


def test_a_good_request_is_read_whole() -> None:
    message_request = request(
        max_output_tokens=7,
        temperature=0.5,
        allowed_providers=[HOUSE, CLOUD],
        redacted=True,
        data_kinds=["PERSON", "EMAIL_ADDRESS", "PERSON"],
        policy_ids=["public-may-leave"],
    )
    read = read_escalation(message_request, "plant-7", LIMITS)
    assert read == Escalation(
        message_request.request_id,
        "plant-7",
        (Turn("system", "s"), Turn("user", "hi")),
        frozenset({Provider("house", "private", "eu", "us", 0), Provider("cloud", "public")}),
        DataClass.INTERNAL,
        7,
        0.5,
        True,
        ("EMAIL_ADDRESS", "PERSON"),
        ("public-may-leave",),
    )


@pytest.mark.parametrize(("wanted", "given"), [(0, 50), (50, 50), (51, 50), (1, 1)])
def test_the_hubs_limit_on_the_answer_holds(wanted: int, given: int) -> None:
    assert read_escalation(request(max_output_tokens=wanted), "a", LIMITS).max_output_tokens == given


def test_tiers_that_nobody_knows_allow_nothing() -> None:
    unknown = [pb.ProviderProfile(name=f"p{tier}", tier=tier) for tier in (0, 3, 99)]  # type: ignore[arg-type]  # of a newer agent
    assert read_escalation(request(allowed_providers=unknown), "a", LIMITS).allowed == frozenset()


@pytest.mark.parametrize(
    "fields",
    [
        {"allowed_providers": [pb.ProviderProfile(name=f"p{number}", tier=pb.PROVIDER_TIER_PRIVATE) for number in range(257)]},
        {"data_kinds": [f"K{number}" for number in range(65)]},
        {"data_kinds": ["K" * 65]},
        {"policy_ids": [f"p{number}" for number in range(65)]},
        {"policy_ids": ["p" * 129]},
    ],
)
def test_more_names_than_a_request_may_have_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_escalation(request(**fields), "a", LIMITS)
    assert raised.value.reason is Reason.PROMPT_INVALID


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [message(USER, "x")] * 5},
        {"messages": [message(USER, "x" * 101)]},
        {"messages": [message(ASSISTANT, "x" * 60), message(USER, "x" * 60)]},
        {"messages": [message(USER, "hi"), message(ASSISTANT, "yes")]},
        {"messages": [message(USER, " \n")]},
        {"messages": [message(pb.MESSAGE_ROLE_UNSPECIFIED, "hi"), message(USER, "hi")]},
        {"messages": [message(99, "hi"), message(USER, "hi")]},
        {"data_class": pb.DATA_CLASS_UNSPECIFIED},
        {"data_class": 5},
        {"max_output_tokens": -1},
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
    ],
)
def test_a_bad_prompt_is_refused_without_a_word_of_it(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_escalation(request(**fields), "a", LIMITS)
    assert raised.value.reason is Reason.PROMPT_INVALID
    assert "xxx" not in raised.value.message


@pytest.mark.parametrize("request_id", ["", "1", "not-a-uuid", "g" * 32])
def test_a_request_id_must_be_a_uuid(request_id: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_escalation(request(request_id=request_id), "a", LIMITS)
    assert raised.value.reason is Reason.FIELD_INVALID


ANY_MESSAGE = st.builds(pb.ChatMessage, role=st.integers(0, 5), content=st.text(max_size=40))
ANY_DAYS = st.none() | st.integers(-9, 9)
ANY_PROVIDER = st.builds(pb.ProviderProfile, name=st.text(max_size=9), tier=st.integers(-1, 5), retention_days=ANY_DAYS)
ANY_REQUEST = st.builds(
    pb.EscalatePromptRequest,
    request_id=st.uuids().map(str) | st.text(max_size=40),
    messages=st.lists(ANY_MESSAGE, max_size=6),
    allowed_providers=st.lists(ANY_PROVIDER, max_size=4),
    data_kinds=st.lists(st.text(max_size=70), max_size=4),
    policy_ids=st.lists(st.text(max_size=130), max_size=4),
    data_class=st.integers(-1, 9),
    max_output_tokens=st.integers(-(2**31), 2**31 - 1),
    temperature=st.floats(width=32) | st.floats(0, 2, width=32),
)


def reason_of(anything: pb.EscalatePromptRequest) -> Reason | None:
    """Why it is refused; None: it is not."""
    try:
        read = read_escalation(anything, "a", LIMITS)
    except InvalidRequest as error:
        return error.reason
    return None if read.turns[-1].role == "user" and 0 <= read.temperature <= 2 and 0 < read.max_output_tokens <= 50 else Reason.INTERNAL


@settings(deadline=None)
@given(ANY_REQUEST)
def test_any_request_is_read_or_refused_with_a_reason(anything: pb.EscalatePromptRequest) -> None:
    assert reason_of(anything) in (None, Reason.PROMPT_INVALID, Reason.FIELD_INVALID)
