"""Sealing: what opens, and what does not."""

from itertools import count

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.store.sealing import Sealer, Unreadable, derive

KEY, PLACE = b"k" * 32, ("turns", "content", "1")


@pytest.mark.parametrize("content", [b"", b"text", bytes(range(256)) * 100])
def test_what_was_sealed_comes_out_as_it_went_in(content: bytes) -> None:
    sealer = Sealer(KEY, "till")
    sealed = sealer.seal(content, *PLACE)
    assert Sealer(KEY, "till").open(sealed, *PLACE) == content
    assert len(sealed) == len(content) + 1 + 12 + 16


@pytest.mark.parametrize(
    ("key", "bound", "place"),
    [
        (b"o" * 32, ("till",), PLACE),
        (KEY, ("door",), PLACE),
        (KEY, (), PLACE),
        (KEY, ("till",), ("vault", "content", "1")),
        (KEY, ("till",), ("turns", "role", "1")),
        (KEY, ("till",), ("turns", "content", "2")),
        (KEY, ("till", "turns"), ("content", "1", "")),
        (KEY, ("till",), ("turns", "content1")),
    ],
)
def test_it_opens_under_no_other_key_and_at_no_other_place(key: bytes, bound: tuple[str, ...], place: tuple[str, ...]) -> None:
    sealed = Sealer(KEY, "till").seal(b"text", *PLACE)
    with pytest.raises(Unreadable):
        Sealer(key, *bound).open(sealed, *place)


def test_no_byte_of_it_can_be_changed_or_left_out() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(b"text", *PLACE)
    changed = [sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :] for index in range(len(sealed))]
    for broken in (*changed, *(sealed[:length] for length in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(Unreadable):
            sealer.open(broken, *PLACE)


def test_the_error_holds_nothing_of_what_was_sealed() -> None:
    sealer = Sealer(KEY)
    with pytest.raises(Unreadable) as raised:
        sealer.open(sealer.seal(b"text", *PLACE), "elsewhere")
    assert raised.value.args == ()
    assert raised.value.__cause__ is None


def test_every_value_has_a_nonce_of_its_own_that_is_asked_for_as_96_bits() -> None:
    numbers = count(1)
    sealer = Sealer(KEY, random_bytes=lambda length: next(numbers).to_bytes(length, "big"))
    first, second = sealer.seal(b"text", *PLACE), sealer.seal(b"text", *PLACE)
    assert (first[1:13], second[1:13]) == ((1).to_bytes(12, "big"), (2).to_bytes(12, "big"))
    assert AESGCM(KEY).decrypt(first[1:13], first[13:], b'["turns", "content", "1"]') == b"text"


def test_each_purpose_has_a_key_of_its_own_as_rfc_5869_derives_it() -> None:
    first = derive(KEY, "one")
    assert len({first, derive(KEY, "two"), derive(b"o" * 32, "one"), KEY}) == 4
    # Worked out with `openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt key:… -kdfopt info:'seawall agent v1: one' HKDF`.
    assert first.hex() == "7dc2ff7b18ce98beb60fbf30d96634f92a39995a7996ce4383ff2929c948f0fe"
