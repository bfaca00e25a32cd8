"""What is nearly a message is none: each rule of reading by itself."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from contract.errors import InvalidRequest, Reason
from contract.secagg.messages import (
    MOST_MEMBER_KEY_BYTES,
    MOST_SIGNATURE_BYTES,
    MOST_WINDOW_BYTES,
    SEALED_BYTES,
    Consent,
    Consents,
    Keys,
    Masked,
    Message,
    Plan,
    Shares,
    Survivors,
    Unmasking,
)
from contract.secagg.shamir import SHARE_BYTES
from contract.secagg.wire import Kind, kind_of, pack

ID = bytes(32)
PLAN = Plan(ID, "2026-W48", ID, 3, 0, 2, 1, ID, ("a", "b"))
KEYS = Keys(ID, "a", b"key", ID, ID, ID, b"signature")


def is_refused(read: Callable[[bytes], Message], content: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(content)
    assert caught.value.reason is Reason.ROUND_MESSAGE_INVALID


def test_the_messages_that_are_bent_here_are_good_as_they_are() -> None:
    assert Plan.from_bytes(PLAN.to_bytes()) == PLAN
    assert Keys.from_bytes(KEYS.to_bytes()) == KEYS


def test_another_beginning_is_no_message() -> None:
    content = PLAN.to_bytes()
    assert kind_of(content) is Kind.PLAN
    with pytest.raises(InvalidRequest):
        kind_of(b"SWR2" + content[4:])


@pytest.mark.parametrize("size_bytes", [0, 31, 33])
@pytest.mark.parametrize("name", ["nonce", "schema", "roster_digest"])
def test_a_hash_of_a_plan_has_32_bytes(name: str, size_bytes: int) -> None:
    is_refused(Plan.from_bytes, replace(PLAN, **{name: bytes(size_bytes)}).to_bytes())  # type: ignore[arg-type]


@pytest.mark.parametrize("window", ["", "w" * (MOST_WINDOW_BYTES + 1), "Woche 48 für uns", "2026\nW48", "\x7f"])
def test_a_window_is_short_printable_ascii(window: str) -> None:
    is_refused(Plan.from_bytes, replace(PLAN, window=window).to_bytes())
    longest = replace(PLAN, window="w" * MOST_WINDOW_BYTES)
    assert Plan.from_bytes(longest.to_bytes()) == longest


@pytest.mark.parametrize("cohort", [("b", "a"), ("A",), ("",), ("a_b",), ("a" * 64,), ("-a",), ("ä",)])
def test_a_cohort_is_of_agents_ids_sorted(cohort: tuple[str, ...]) -> None:
    is_refused(Plan.from_bytes, replace(PLAN, cohort=cohort).to_bytes())


@pytest.mark.parametrize("name", ["round_id", "encryption_key", "masking_key", "commitment"])
def test_a_key_and_a_commitment_have_32_bytes(name: str) -> None:
    is_refused(Keys.from_bytes, replace(KEYS, **{name: bytes(31)}).to_bytes())  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "most"), [("member_key", MOST_MEMBER_KEY_BYTES), ("signature", MOST_SIGNATURE_BYTES)])
def test_a_member_key_and_a_signature_are_there_and_not_too_long(name: str, most: int) -> None:
    for size_bytes in (0, most + 1):
        is_refused(Keys.from_bytes, replace(KEYS, **{name: bytes(size_bytes)}).to_bytes())  # type: ignore[arg-type]
    Keys.from_bytes(replace(KEYS, **{name: bytes(most)}).to_bytes())  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "size_bytes"), [(Shares, SEALED_BYTES), (Unmasking, SHARE_BYTES)])
def test_a_share_has_its_exact_length(kind: type[Shares] | type[Unmasking], size_bytes: int) -> None:
    kind.from_bytes(kind(ID, (("a", bytes(size_bytes)),)).to_bytes())
    for other in (0, size_bytes - 1, size_bytes + 1):
        is_refused(kind.from_bytes, kind(ID, (("a", bytes(other)),)).to_bytes())


@pytest.mark.parametrize("items", [(("a", b""),), (("a", bytes(MOST_SIGNATURE_BYTES + 1)),), (("b", b"1"), ("a", b"2"))])
def test_consents_are_sorted_and_hold_a_signature_each(items: tuple[tuple[str, bytes], ...]) -> None:
    is_refused(Consents.from_bytes, Consents(ID, items).to_bytes())


def test_a_name_without_what_is_for_it_is_refused() -> None:
    is_refused(Consents.from_bytes, pack(Kind.CONSENTS, (ID, b"a", b"signature", b"b")))


@pytest.mark.parametrize(("alive", "dead"), [(("b", "a"), ()), ((), ("b", "a")), (("A",), ()), (("a", ""), ())])
def test_survivors_are_agents_ids_sorted(alive: tuple[str, ...], dead: tuple[str, ...]) -> None:
    is_refused(Survivors.from_bytes, Survivors(ID, alive, dead).to_bytes())


@pytest.mark.parametrize("message", [Masked(ID[:-1], b""), Consent(ID + b"1", b"s"), Consent(ID, b""), Survivors(b"", (), ())])
def test_a_rounds_id_has_32_bytes_and_a_consent_a_signature(message: Message) -> None:
    is_refused(type(message).from_bytes, message.to_bytes())
