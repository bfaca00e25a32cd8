"""What a signed policy may be made of."""

import pytest

from contract.calibration.maps import NO_CALIBRATIONS
from contract.errors import InvalidRequest, Reason
from contract.policy import Policy
from contract.policy_bundle import MAX_FILE_BYTES, check_policy_bundle

GOOD = b'@id("all") permit (principal, action, resource);'


def test_a_policy_with_or_without_recognizers_and_calibration_is_taken() -> None:
    digest = Policy(GOOD.decode()).digest
    assert check_policy_bundle({"policy.cedar": GOOD}).digest == digest
    assert check_policy_bundle({"policy.cedar": GOOD, "recognizers.json": b"{}"}).digest == digest
    assert check_policy_bundle({"policy.cedar": GOOD, "calibration.json": NO_CALIBRATIONS.to_json()}).digest == digest


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "its files must be"),
        ({"recognizers.json": b"{}"}, "its files must be"),
        ({"policy.cedar": GOOD, "more.cedar": GOOD}, "its files must be"),
        ({"policy.cedar": GOOD, "recognizers.json": b" " * (MAX_FILE_BYTES + 1)}, "more than"),
        ({"policy.cedar": b"\xff"}, "no text"),
        ({"policy.cedar": b"permit"}, "unexpected end"),
        ({"policy.cedar": b'@id("t") permit (principal, action, resource) when { context.clas == "x" };'}, "clas"),
    ],
)
def test_what_may_not_be_put_in_force_is_refused_with_what_is_wrong(files: dict[str, bytes], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as raised:
        check_policy_bundle(files)
    assert raised.value.reason is Reason.POLICY_INVALID


@pytest.mark.parametrize(("content", "reason"), [(b"nonsense", Reason.FIELD_INVALID), (b'{"more": []}', Reason.FIELD_UNKNOWN)])
def test_recognizers_that_are_refused_refuse_the_whole(content: bytes, reason: Reason) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_policy_bundle({"policy.cedar": GOOD, "recognizers.json": content})
    assert raised.value.reason is reason


def test_a_calibration_that_is_refused_refuses_the_whole() -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_policy_bundle({"policy.cedar": GOOD, "calibration.json": b'{"format_version": 1}'})
    assert raised.value.reason is Reason.CALIBRATION_INVALID
