"""Messages of a round: one form, and nothing else is read."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import InvalidRequest, Reason
from contract.secagg.messages import Consent, Consents, Delivery, KeyList, Keys, Masked, Message, Plan, Shares, Survivors, Unmasking
from contract.secagg.wire import MOST_FIELDS, Kind, pack, unpack
from tests.fakes.malicious_hub import MaliciousHub
from tests.fakes.secagg_cohort import Cohort


def of_one_round() -> dict[Callable[[bytes], Message], bytes]:
    hub = MaliciousHub(Cohort(4))
    consents = hub.up_to(Kind.CONSENTS, lost=("agent-3",))
    hub.tell("agent-0", consents["agent-0"])
    found = {kind: sent["agent-0"] for kind, sent in (*hub.sent.items(), *hub.heard.items())}
    readers: list[Callable[[bytes], Message]] = [
        Plan.from_bytes,
        Keys.from_bytes,
        KeyList.from_bytes,
        Shares.from_bytes,
        Delivery.from_bytes,
        Masked.from_bytes,
        Survivors.from_bytes,
        Consent.from_bytes,
        Consents.from_bytes,
        Unmasking.from_bytes,
    ]
    return {read: found[kind] for kind, read in zip(Kind, readers, strict=True)}


MESSAGES = of_one_round()


@pytest.mark.parametrize(("read", "content"), MESSAGES.items(), ids=[kind.name for kind in Kind])
def test_a_message_that_is_read_is_written_as_it_was(read: Callable[[bytes], Message], content: bytes) -> None:
    assert read(content).to_bytes() == content


@settings(max_examples=150)
@given(st.data())
def test_a_changed_message_is_refused_or_has_no_other_form(data: st.DataObject) -> None:
    read, content = data.draw(st.sampled_from(list(MESSAGES.items())))
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(begin + 4, len(content))))
    changed = content[:begin] + data.draw(st.binary(max_size=4)) + content[end:]
    assert as_read(read, changed) in (changed, Reason.ROUND_MESSAGE_INVALID, Reason.NAME_REPEATED)


def as_read(read: Callable[[bytes], Message], content: bytes) -> bytes | Reason:
    try:
        return read(content).to_bytes()
    except InvalidRequest as error:
        return error.reason


@settings(max_examples=100)
@given(st.sampled_from(Kind), st.lists(st.binary(max_size=20), max_size=8))
def test_fields_come_back_as_they_were_packed(kind: Kind, fields: list[bytes]) -> None:
    assert unpack(pack(kind, fields), kind, 0) == fields


def test_more_fields_than_a_cohort_needs_are_refused() -> None:
    assert len(unpack(pack(Kind.SHARES, [b""] * MOST_FIELDS), Kind.SHARES, 0)) == MOST_FIELDS
    with pytest.raises(InvalidRequest):
        unpack(pack(Kind.SHARES, [b""] * (MOST_FIELDS + 1)), Kind.SHARES, 0)


@pytest.mark.parametrize("read", MESSAGES, ids=[kind.name for kind in Kind])
def test_a_message_of_another_kind_or_with_a_field_too_many_is_refused(read: Callable[[bytes], Message]) -> None:
    for other, content in MESSAGES.items():
        if other is not read:
            with pytest.raises(InvalidRequest):
                read(content)
    with pytest.raises(InvalidRequest):
        read(MESSAGES[read] + bytes(4))
