"""Proofs of receipts as documents: whole, bent, and what is none."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import InvalidRequest, Reason
from contract.merkle import inclusion_proof, leaf_hash, root
from contract.receipt_proof import ReceiptProof
from contract.tree_heads import Chain, SignedHead, TreeHead, sign_head, witness_head
from tests.fakes.tree import kept

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DEVICE, HUB = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
LEAVES = [f'{{"number":{number}}}' for number in range(7)]
NODES = kept([leaf_hash(leaf.encode()) for leaf in LEAVES])
SIGNED = sign_head(DEVICE, TreeHead("agents/plant-7", 7, root(NODES, 7), NOW))
PROOF = ReceiptProof(LEAVES[4], 4, SIGNED, tuple(inclusion_proof(NODES, 4, 7)), witness_head(HUB, SIGNED, NOW))


def test_a_document_says_all_that_it_takes() -> None:
    read = ReceiptProof.from_json(json.dumps(PROOF.to_dict()))
    assert read == PROOF
    assert list(read.faults()) == []
    assert read.vouchers().startswith("receipt 4 of agents/plant-7, 2026-11-28T12:00:00.000+00:00: signed with the key ")


def test_a_head_that_names_the_one_before_is_checked_with_what_it_says() -> None:
    chain = Chain(SIGNED.head.as_previous(), NOW)
    signed = sign_head(DEVICE, replace(SIGNED.head, chain=chain))
    document = replace(PROOF, signed=signed, witness=witness_head(HUB, signed, NOW)).to_dict()
    assert list(ReceiptProof.from_json(json.dumps(document)).faults()) == []
    document["tree_head"]["previous"]["size"] = 6
    assert len(list(ReceiptProof.from_json(json.dumps(document)).faults())) == 2
    del document["tree_head"]["previous"]
    with pytest.raises(InvalidRequest):
        ReceiptProof.from_json(json.dumps(document))


def test_an_unsigned_and_unwitnessed_one_says_so() -> None:
    proof = ReceiptProof(PROOF.leaf, 4, SignedHead(SIGNED.head), PROOF.path, None)
    assert ReceiptProof.from_json(json.dumps(proof.to_dict())) == proof
    assert list(proof.faults()) == []
    assert proof.vouchers().endswith("signed by nobody, witnessed by nobody")


@pytest.mark.parametrize(
    ("bend", "fault"),
    [
        ({"leaf": LEAVES[3]}, "the path does not lead"),
        ({"number": 3}, "the path does not lead"),
        ({"inclusion_proof": []}, "the path does not lead"),
        ({"signature": "00"}, "the head is not signed"),
        ({"public_key": "00"}, "the head is not signed"),
        ({"witness": {**PROOF.to_dict()["witness"], "time": "2026-11-28T12:00:01.000+00:00"}}, "the hub's word is not signed"),
        ({"tree_head": {**PROOF.to_dict()["tree_head"], "log": "agents/plant-8"}}, "the head is not signed"),
    ],
)
def test_what_is_bent_is_named(bend: dict[str, Any], fault: str) -> None:
    faults = list(ReceiptProof.from_json(json.dumps({**PROOF.to_dict(), **bend})).faults())
    assert any(found.startswith(fault) for found in faults)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"format_version": 1}', json.dumps({**PROOF.to_dict(), "public_key": "xy"}), "[" * 100_000]
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        ReceiptProof.from_json(text)
    assert raised.value.reason is Reason.JSON_INVALID


def test_a_newer_form_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match="newer"):
        ReceiptProof.from_json(json.dumps({**PROOF.to_dict(), "format_version": 2}))
