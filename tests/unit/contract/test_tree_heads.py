"""Heads: signed by a key, witnessed by another, good for nothing else."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contract.tree_heads import Chain, Previous, SignedHead, TreeHead, public_der, sign_head, to_millisecond, verify, witness_head

DEVICE, HUB = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
NOW = datetime(2026, 11, 28, 12, 0, 0, 123000, tzinfo=UTC)
HEAD = TreeHead("agents/plant-7", 3, b"r" * 32, NOW)


def test_what_is_signed_is_one_text() -> None:
    assert HEAD.signed_bytes() == (
        b'seawall-tree-head-v1\x00{"log":"agents/plant-7","root":"' + b"72" * 32 + b'","size":3,"time":"2026-11-28T12:00:00.123+00:00"}'
    )
    elsewhere = replace(HEAD, time=NOW.astimezone(timezone(timedelta(hours=2))))
    assert elsewhere.signed_bytes() == HEAD.signed_bytes()


CHAIN = Chain(Previous(b"h" * 32, 2, NOW - timedelta(hours=1)), NOW - timedelta(days=30))


@pytest.mark.parametrize("chain", [None, CHAIN, replace(CHAIN, previous=None)])
def test_a_head_is_read_as_it_was_written_and_one_of_an_earlier_version_is_signed_as_ever(chain: Chain | None) -> None:
    head = replace(HEAD, chain=chain)
    assert TreeHead.from_dict(json.loads(json.dumps(head.to_dict()))) == head
    assert ("previous" in head.to_dict(), len(head.hash())) == (chain is not None, 32)


def test_what_a_head_says_of_the_one_before_is_signed_too() -> None:
    head = replace(HEAD, chain=CHAIN)
    signed = sign_head(DEVICE, head)
    assert CHAIN.previous is not None
    for bent in (
        None,
        replace(CHAIN, previous=None),
        replace(CHAIN, kept_since=NOW),
        replace(CHAIN, previous=replace(CHAIN.previous, size=1)),
    ):
        assert not replace(signed, head=replace(head, chain=bent)).is_good()
    assert signed.is_good()


@pytest.mark.parametrize("bent", [{"log": "agents/plant-8"}, {"size": 4}, {"root": b"s" * 32}, {"time": NOW + timedelta(milliseconds=1)}])
def test_a_signature_is_of_every_field(bent: dict[str, object]) -> None:
    signed = sign_head(DEVICE, HEAD)
    assert signed.is_good()
    assert not replace(signed, head=replace(HEAD, **bent)).is_good()  # type: ignore[arg-type]


def test_a_signature_is_of_its_key_alone() -> None:
    signed = sign_head(DEVICE, HEAD)
    assert not replace(signed, public_key=public_der(HUB)).is_good()
    assert not replace(signed, public_key=b"no key").is_good()
    assert not SignedHead(HEAD).is_good()
    assert not SignedHead(HEAD).is_signed


def test_a_witness_speaks_of_one_head_one_key_and_one_time() -> None:
    signed = sign_head(DEVICE, HEAD)
    witness = witness_head(HUB, signed, NOW)
    assert witness.is_good(signed)
    assert not witness.is_good(sign_head(HUB, HEAD))
    assert not witness.is_good(sign_head(DEVICE, replace(HEAD, size=4)))
    assert not replace(witness, time=NOW + timedelta(seconds=1)).is_good(signed)
    assert not replace(witness, public_key=public_der(DEVICE)).is_good(signed)


def test_a_witness_cannot_be_passed_off_as_the_holder_nor_the_other_way_round() -> None:
    signed = sign_head(DEVICE, HEAD)
    assert not verify(public_der(DEVICE), witness_head(DEVICE, signed, NOW).signature, HEAD.signed_bytes())
    assert not verify(public_der(DEVICE), DEVICE.sign(b'{"size":3}', ec.ECDSA(SHA256())), HEAD.signed_bytes())


def test_a_key_of_another_kind_signs_nothing() -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    public = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert not verify(public, other.sign(b"x"), b"x")


def test_times_are_cut_to_what_is_signed() -> None:
    assert to_millisecond(NOW + timedelta(microseconds=999)) == NOW
