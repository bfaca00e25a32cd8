"""docs/secagg-vectors.json: what another implementation has to come to as well, from the same seeds."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from contract.identity import key_hash
from contract.secagg.keys import Channel, Secrets, are_signed, commitment, has_consented, own_mask_key, pair_mask_key, public_x25519
from contract.secagg.masks import VectorSum, mask, to_vector
from contract.secagg.messages import KeyList, Keys, Plan, Survivors
from contract.secagg.possession import is_proven
from contract.secagg.roster import Roster
from contract.secagg.shamir import combine, split, weights
from contract.tree_heads import public_der

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[4] / "docs" / "secagg-vectors.json").read_text())
A, B = "agent-a", "agent-b"


def raw(*path: str) -> bytes:
    value: Any = VECTORS
    for name in path:
        value = value[name]
    return bytes.fromhex(value)


PLAN = Plan.from_bytes(raw("plan", "message"))
ROUND_ID = raw("plan", "round_id")
SECRETS = {agent: Secrets(*(raw("seeds", agent, kind) for kind in ("encryption", "masking", "own"))) for agent in (A, B)}
KEYS = {agent: Keys.from_bytes(raw("keys", agent)) for agent in (A, B)}


def test_a_roster_has_this_form_and_this_digest() -> None:
    roster = Roster.from_json(VECTORS["roster"]["json"].encode())
    assert roster.to_json().decode() == VECTORS["roster"]["json"]
    assert roster.digest == raw("roster", "digest") == PLAN.roster_digest


def test_a_roster_has_the_hashes_of_the_member_keys() -> None:
    keys = {agent: ec.derive_private_key(int(raw("member_keys", agent).hex(), 16), ec.SECP256R1()) for agent in (A, B)}
    assert Roster.from_json(VECTORS["roster"]["json"].encode()).members == {agent: key_hash(public_der(key)) for agent, key in keys.items()}
    assert {agent: public_der(key) for agent, key in keys.items()} == {agent: item.member_key for agent, item in KEYS.items()}


def test_a_member_key_is_shown_like_this() -> None:
    assert is_proven(KEYS[A].member_key, raw("possession", "proof_of_a"), A, VECTORS["possession"]["certificate_key_hash"])


def test_keys_and_survivors_are_signed_like_this() -> None:
    assert all(map(are_signed, KEYS.values()))
    digest = KeyList(ROUND_ID, (KEYS[A], KEYS[B])).digest()
    assert has_consented(KEYS[A], raw("consent_of_a"), Survivors.from_bytes(raw("survivors")), digest)


def test_a_plan_has_this_form_and_this_id() -> None:
    assert PLAN.to_bytes() == raw("plan", "message")
    assert PLAN.round_id() == ROUND_ID
    assert (PLAN.window, PLAN.entries, PLAN.scale_bits, PLAN.threshold, PLAN.cohort) == ("2026-W48", 3, 8, 2, (A, B))


@pytest.mark.parametrize("agent", [A, B])
def test_seeds_make_these_public_keys_and_this_commitment(agent: str) -> None:
    secrets, keys = SECRETS[agent], KEYS[agent]
    assert public_x25519(secrets.encryption_seed) == keys.encryption_key
    assert public_x25519(secrets.masking_seed) == keys.masking_key
    assert commitment(ROUND_ID, agent, secrets.own_seed) == keys.commitment


def test_two_devices_make_this_mask_from_either_side() -> None:
    for agent, other in ((A, B), (B, A)):
        key = pair_mask_key(SECRETS[agent].masking_seed, agent, KEYS[other])
        assert key == raw("masks", "pair_key")
        assert mask(key, 40) == raw("masks", "pair_mask")


def test_a_device_makes_this_mask_of_its_own() -> None:
    key = own_mask_key(ROUND_ID, A, SECRETS[A].own_seed)
    assert key == raw("masks", "own_key_of_a")
    assert mask(key, 40) == raw("masks", "own_mask_of_a")


def test_shares_are_sealed_like_this_and_open_on_the_other_side() -> None:
    digest = KeyList(ROUND_ID, (KEYS[A], KEYS[B])).digest()
    assert digest == raw("key_list", "digest")
    shares = raw("sealed", "own_share"), raw("sealed", "masking_share")
    assert Channel.open(SECRETS[A], A, KEYS[B], digest).seal(*shares) == raw("sealed", "a_to_b")
    assert Channel.open(SECRETS[B], B, KEYS[A], digest).unseal(raw("sealed", "a_to_b")) == shares


def test_a_secret_is_shared_like_this() -> None:
    coefficients = iter(bytes.fromhex(item) for item in VECTORS["shamir"]["random_coefficients"])
    shares = {int(point): bytes.fromhex(share) for point, share in VECTORS["shamir"]["shares"].items()}
    made = split(raw("shamir", "secret"), VECTORS["shamir"]["threshold"], tuple(shares), lambda _: next(coefficients))
    assert made == list(shares.values())
    assert combine(weights((2, 5, 64)), shares) == raw("shamir", "secret")


def test_vectors_are_masked_like_this_and_the_masks_come_off() -> None:
    total = VectorSum(3)
    for agent, other in ((A, B), (B, A)):
        pair = mask(pair_mask_key(SECRETS[agent].masking_seed, agent, KEYS[other]), 24)
        own = mask(own_mask_key(ROUND_ID, agent, SECRETS[agent].own_seed), 24)
        masked = VectorSum(3)
        masked.add(to_vector(VECTORS["masked"]["values"]))
        masked.add(own)
        (masked.add if agent < other else masked.subtract)(pair)
        assert masked.total() == raw("masked", "vectors", agent)
        total.add(masked.total())
        total.subtract(own)
    assert total.total() == raw("masked", "sum")


def test_survivors_have_this_form() -> None:
    assert Survivors.from_bytes(raw("survivors")) == Survivors(ROUND_ID, (A, B), ())
