"""Facts as they are written on the command line."""

import pytest

from agent.policies.facts import Given, read_classification, read_hub, read_seconds
from contract.classification import Classification, DataClass
from contract.errors import InvalidRequest, Reason
from contract.surroundings import Hub, Provider
from tests.fakes.classifier import classifier
from tests.fakes.surroundings import HUB

MAIL = "Mail anna@example.org"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (Given(MAIL), (DataClass.CONFIDENTIAL, ("EMAIL_ADDRESS",))),
        (Given("hello"), (DataClass.PUBLIC, ())),
        (Given(MAIL, "internal"), (DataClass.INTERNAL, ("EMAIL_ADDRESS",))),
        (Given("hello", "internal", "PERSON, API_KEY,"), (DataClass.INTERNAL, ("API_KEY", "PERSON"))),
    ],
)
def test_what_is_written_counts_and_the_rest_is_found_out(given: Given, found: tuple[DataClass, tuple[str, ...]]) -> None:
    classification = read_classification(given, classifier())
    assert isinstance(classification, Classification)
    assert (classification.data_class, classification.kinds) == found


def test_a_class_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidRequest, match="public, internal, confidential, restricted") as raised:
        read_classification(Given("", "secret"), classifier())
    assert raised.value.reason is Reason.FIELD_INVALID


def test_the_hub_is_the_one_that_is_known_but_for_what_is_written() -> None:
    assert read_hub("hub", "", (), HUB) == HUB
    assert read_hub("hub", "", (), None) is None
    assert read_hub("hub", "us-east,other", (), HUB) == Hub("seawall.test", "us-east", "other", HUB.providers)
    described = read_hub("hub", "us-east", ("house,private,de-fra,acme,0", "cloud,public"), None)
    assert described == Hub("hub", "us-east", "", (Provider("house", "private", "de-fra", "acme", 0), Provider("cloud", "public")))


@pytest.mark.parametrize("text", ["", "house", "house,moon", ",private", "a,private,r,o,x", "a,private,r,o,-1", "a,private,r,o,1,more"])
def test_what_is_no_provider_is_refused_with_how_one_is_written(text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_hub("hub", "de-fra", (text,), None)
    assert raised.value.reason is Reason.FIELD_INVALID


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604_800), ("12h", 43_200), ("30m", 1800)])
def test_a_span_of_time_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "7", "7w", "-1d", "1.5h", "٣d", "99999999d"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="7d, 12h or 30m"):
        read_seconds(text)
