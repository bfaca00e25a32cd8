"""The roster: one form, read strictly."""

import json
from typing import Any

import pytest

from contract.errors import InvalidRequest, Reason
from contract.secagg.roster import MOST_BYTES, Roster

ROSTER = Roster(3, {"till-2": "b" * 64, "till-1": "a" * 64})
WHOLE = {
    "format_version": 2,
    "version": 3,
    "members": [{"agent": "till-1", "member_key_hash": "a" * 64}, {"agent": "till-2", "member_key_hash": "b" * 64}],
}


def test_a_roster_reads_back_and_has_one_digest() -> None:
    assert Roster.from_json(ROSTER.to_json()) == ROSTER
    assert json.loads(ROSTER.to_json()) == WHOLE
    assert Roster.from_json(json.dumps(WHOLE).encode()).digest == ROSTER.digest


def test_the_digest_changes_with_each_member_key_and_version() -> None:
    others = [Roster(4, ROSTER.members), Roster(3, {"till-1": "a" * 64}), Roster(3, {**ROSTER.members, "till-2": "a" * 64})]
    assert len({ROSTER.digest, *(other.digest for other in others)}) == 4


def test_a_name_listed_twice_is_refused() -> None:
    twice = {**WHOLE, "members": [{"agent": "till-1", "member_key_hash": "a" * 64}, {"agent": "till-1", "member_key_hash": "b" * 64}]}
    with pytest.raises(InvalidRequest) as caught:
        Roster.from_json(json.dumps(twice).encode())
    assert caught.value.reason is Reason.NAME_REPEATED


def test_a_key_that_two_devices_have_is_refused() -> None:
    alike = {**WHOLE, "members": [{"agent": agent, "member_key_hash": "a" * 64} for agent in ("till-1", "till-2")]}
    with pytest.raises(InvalidRequest, match="one key") as caught:
        Roster.from_json(json.dumps(alike).encode())
    assert caught.value.reason is Reason.ROSTER_INVALID


def test_a_roster_of_certificates_keys_says_what_to_do() -> None:
    old = {"format_version": 1, "version": 3, "members": [{"agent": "till-1", "key_hash": "a" * 64}]}
    with pytest.raises(InvalidRequest, match=r"format is 1.*seawall-hub learning roster propose another"):
        Roster.from_json(json.dumps(old).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 1},
        {"format_version": 3},
        {"version": 0},
        {"version": True},
        {"version": "3"},
        {"version": 2**63},
        {"members": []},
        {"members": [{"agent": "till-1"}]},
        {"members": [{"agent": "Till 1", "member_key_hash": "a" * 64}]},
        {"members": [{"agent": "till-1", "member_key_hash": "A" * 64}]},
        {"members": [{"agent": 1, "member_key_hash": "a" * 64}]},
        {"members": [{"agent": "till-1", "key_hash": "a" * 64}]},
        {"members": [{"agent": "till-1", "member_key_hash": "a" * 64, "more": 1}]},
        {"members": None},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_roster_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Roster.from_json(json.dumps({**WHOLE, **change}).encode())
    assert caught.value.reason is Reason.ROSTER_INVALID


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"1", b"[" * 100_000, bytes(MOST_BYTES + 1)], ids=range(6))
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Roster.from_json(content)
    assert caught.value.reason is Reason.ROSTER_INVALID
