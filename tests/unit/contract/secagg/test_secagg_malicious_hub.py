"""What a hub that has the CA and every online key tries, and the reason with which a device refuses it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from contract.errors import NotPermitted, Reason, SeawallError
from contract.secagg.keys import Secrets, commitment, public_x25519, sign_keys
from contract.secagg.masks import to_vector
from contract.secagg.messages import Consent, Consents, Delivery, KeyList, Keys, Masked, Plan, Survivors, Unmasking
from contract.secagg.roster import Roster
from contract.secagg.shamir import combine, weights
from contract.secagg.wire import MOST_BYTES, Kind, kind_of
from tests.fakes.malicious_hub import MaliciousHub
from tests.fakes.secagg_cohort import Cohort, certificate_key

VICTIM, OTHER, THIRD = "agent-0", "agent-1", "agent-2"
NOTHING_SPENT: dict[str, bytes] = {}


@pytest.fixture
def hub() -> MaliciousHub:
    return MaliciousHub(Cohort(6))


@contextmanager
def refused(reason: Reason) -> Iterator[None]:
    with pytest.raises(SeawallError) as caught:
        yield
    assert caught.value.reason is reason


def plan_is_refused(hub: MaliciousHub, reason: Reason, plan: Plan) -> None:
    with refused(reason):
        hub.tell(VICTIM, plan.to_bytes())
    assert hub.heard == {}
    with refused(Reason.ROUND_OVER):
        hub.tell(VICTIM, hub.plan.to_bytes())


@pytest.mark.parametrize("threshold", [0, 1, 3, 7])
def test_a_threshold_below_two_thirds_or_above_the_cohort_is_refused(hub: MaliciousHub, threshold: int) -> None:
    plan_is_refused(hub, Reason.THRESHOLD_TOO_LOW, replace(hub.plan, threshold=threshold))


def test_a_cohort_that_shrank_below_the_devices_own_least_is_refused(hub: MaliciousHub) -> None:
    plan_is_refused(hub, Reason.COHORT_TOO_SMALL, replace(hub.plan, cohort=hub.plan.cohort[:3], threshold=2))


def test_a_cohort_with_a_made_up_device_is_refused(hub: MaliciousHub) -> None:
    plan_is_refused(hub, Reason.COHORT_INVALID, replace(hub.plan, cohort=(*hub.plan.cohort[:5], "sybil")))


def test_a_cohort_without_the_device_is_refused(hub: MaliciousHub) -> None:
    plan_is_refused(hub, Reason.COHORT_INVALID, replace(hub.plan, cohort=hub.plan.cohort[1:], threshold=4))


def test_a_cohort_of_more_than_64_is_refused() -> None:
    hub = MaliciousHub(Cohort(65))
    plan_is_refused(hub, Reason.COHORT_INVALID, hub.plan)


def test_a_cohort_that_lists_a_device_twice_is_refused(hub: MaliciousHub) -> None:
    with refused(Reason.NAME_REPEATED):
        hub.tell(VICTIM, replace(hub.plan, cohort=(VICTIM, *hub.plan.cohort[:5])).to_bytes())


def test_a_roster_of_the_hubs_own_is_refused(hub: MaliciousHub) -> None:
    sybils = Roster(7, {**hub.cohort.roster.members, "sybil": "0" * 64})
    plan_is_refused(hub, Reason.ROSTER_UNKNOWN, replace(hub.plan, roster_digest=sybils.digest))


def test_an_older_roster_than_was_seen_is_refused(hub: MaliciousHub) -> None:
    old = Roster(6, hub.cohort.roster.members)
    plan_is_refused(hub, Reason.ROSTER_OLD, replace(hub.plan, roster_version=6, roster_digest=old.digest))
    hub.cohort.roster = old
    again = MaliciousHub(hub.cohort)
    plan_is_refused(again, Reason.ROSTER_OLD, again.plan)


@pytest.mark.parametrize("change", [{"schema": b"\1" * 32}, {"entries": 1}, {"scale_bits": 8}, {"window": "2026-W47"}], ids=str)
def test_another_schema_length_scale_or_window_is_refused(hub: MaliciousHub, change: dict[str, str]) -> None:
    plan_is_refused(hub, Reason.SCHEMA_UNKNOWN, replace(hub.plan, **change))  # type: ignore[arg-type]  # mypy takes all for one type


def test_everything_of_the_plan_is_in_the_rounds_id(hub: MaliciousHub) -> None:
    plan = hub.plan
    others = [
        replace(plan, nonce=bytes(32)),
        replace(plan, window="2026-W47"),
        replace(plan, schema=bytes(32)),
        replace(plan, entries=4),
        replace(plan, scale_bits=1),
        replace(plan, threshold=5),
        replace(plan, roster_version=8),
        replace(plan, roster_digest=bytes(32)),
        replace(plan, cohort=plan.cohort[1:]),
    ]
    assert len({plan.round_id(), *(other.round_id() for other in others)}) == 10


def test_a_window_is_contributed_once_also_where_the_hub_says_that_the_round_failed(hub: MaliciousHub) -> None:
    hub.up_to(Kind.SURVIVORS)
    assert hub.cohort.ledgers[VICTIM].rounds == {"2026-W48": hub.plan.round_id()}
    without_other = replace(hub.plan, nonce=bytes(32), cohort=tuple(agent for agent in hub.plan.cohort if agent != OTHER), threshold=4)
    again = MaliciousHub(hub.cohort, without_other)
    plan_is_refused(again, Reason.WINDOW_SPENT, again.plan)


def test_two_rounds_of_one_window_at_once_get_one_vector(hub: MaliciousHub) -> None:
    at_once = MaliciousHub(hub.cohort, replace(hub.plan, nonce=bytes(32)))
    first, second = hub.up_to(Kind.DELIVERY), at_once.up_to(Kind.DELIVERY)
    hub.tell(VICTIM, first[VICTIM])
    with refused(Reason.WINDOW_SPENT):
        at_once.tell(VICTIM, second[VICTIM])
    assert Kind.MASKED not in at_once.heard


def test_nothing_leaves_a_device_that_cannot_spend(hub: MaliciousHub) -> None:
    asked = list[Plan]()

    class Empty:
        def is_spent(self, window: str) -> bool:
            return False

        def spend(self, window: str, round_id: bytes) -> None:
            raise NotPermitted(Reason.PRIVACY_SPENT, "Nothing is left.")

    hub.cohort.ledgers[VICTIM] = Empty()  # type: ignore[assignment]
    hub.devices[VICTIM] = hub.cohort.participant(VICTIM, lambda plan: asked.append(plan) or b"")  # type: ignore[func-returns-value]
    delivery = hub.up_to(Kind.DELIVERY)
    with refused(Reason.PRIVACY_SPENT):
        hub.tell(VICTIM, delivery[VICTIM])
    assert asked == []
    with refused(Reason.ROUND_OVER):
        hub.tell(VICTIM, delivery[VICTIM])


def test_the_window_is_spent_before_the_vector_is_made(hub: MaliciousHub) -> None:
    seen = list[bool]()
    ledger = hub.cohort.ledgers[VICTIM]
    hub.devices[VICTIM] = hub.cohort.participant(VICTIM, lambda _: seen.append(ledger.is_spent("2026-W48")) or to_vector([1, 2, 3]))  # type: ignore[func-returns-value]
    hub.up_to(Kind.SURVIVORS)
    assert seen == [True]


def key_list_is_refused(hub: MaliciousHub, reason: Reason, change: Callable[[list[Keys]], list[Keys]]) -> None:
    honest = KeyList.from_bytes(hub.up_to(Kind.KEY_LIST)[VICTIM])
    changed = sorted(change(list(honest.keys)), key=lambda keys: keys.agent)
    with refused(reason):
        hub.tell(VICTIM, replace(honest, keys=tuple(changed)).to_bytes())
    assert Kind.SHARES not in hub.heard
    assert hub.cohort.ledgers[VICTIM].rounds == NOTHING_SPENT


def test_a_key_under_a_certificate_that_the_ca_issued_anew_is_refused(hub: MaliciousHub) -> None:
    key_list_is_refused(hub, Reason.ROUND_KEY_INVALID, lambda keys: [keys[0], hub.keys_for(OTHER), *keys[2:]])


@pytest.mark.parametrize("name", ["encryption_key", "masking_key", "commitment"])
def test_a_key_exchanged_under_its_owners_signature_is_refused(hub: MaliciousHub, name: str) -> None:
    key_list_is_refused(
        hub, Reason.ROUND_KEY_INVALID, lambda keys: [keys[0], replace(keys[1], **{name: getattr(hub.keys_for(OTHER), name)}), *keys[2:]]
    )


def test_keys_of_an_older_round_are_refused(hub: MaliciousHub) -> None:
    older = MaliciousHub(hub.cohort)
    older.up_to(Kind.KEY_LIST)
    old = Keys.from_bytes(older.heard[Kind.KEYS][OTHER])
    key_list_is_refused(hub, Reason.ROUND_KEY_INVALID, lambda keys: [keys[0], old, *keys[2:]])


def test_one_devices_keys_in_anothers_name_are_refused(hub: MaliciousHub) -> None:
    key_list_is_refused(hub, Reason.ROUND_KEY_INVALID, lambda keys: [keys[0], replace(keys[2], agent=OTHER), *keys[2:]])


def test_the_devices_own_keys_replaced_are_refused(hub: MaliciousHub) -> None:
    key_list_is_refused(hub, Reason.ROUND_KEY_REPLACED, lambda keys: [hub.keys_for(VICTIM), *keys[1:]])


def test_a_made_up_device_among_the_keys_is_refused(hub: MaliciousHub) -> None:
    key_list_is_refused(hub, Reason.COHORT_INVALID, lambda keys: [*keys, hub.keys_for("sybil")])


def test_a_device_listed_twice_among_the_keys_is_refused(hub: MaliciousHub) -> None:
    key_list_is_refused(hub, Reason.NAME_REPEATED, lambda keys: [*keys, keys[1]])


def test_a_graph_with_fewer_neighbours_than_the_threshold_is_refused(hub: MaliciousHub) -> None:
    key_list_is_refused(hub, Reason.ROUND_SHORT, lambda keys: keys[:3])


def test_a_colluding_devices_key_that_agrees_on_nothing_secret_is_refused(hub: MaliciousHub) -> None:
    colluder = sign_keys(Secrets.make(hub.cohort.randomness), hub.plan.round_id(), OTHER, certificate_key(OTHER))
    key = certificate_key(OTHER)
    bad = replace(colluder, encryption_key=bytes(32), signature=b"")
    signed = replace(bad, signature=resigned(bad, key))
    key_list_is_refused(hub, Reason.ROUND_KEY_INVALID, lambda keys: [keys[0], signed, *keys[2:]])


def resigned(keys: Keys, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signature that a colluding device puts under keys that it likes."""
    fields = b"".join(len(field).to_bytes(4, "big") + field for field in keys.signed_fields())
    return key.sign(b"seawall-secagg-keys-v1\0" + fields, ec.ECDSA(SHA256()))


def delivery_is_refused(hub: MaliciousHub, reason: Reason, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
    honest = Delivery.from_bytes(hub.up_to(Kind.DELIVERY)[VICTIM])
    items = tuple(sorted(change(dict(honest.items)).items()))
    with refused(reason):
        hub.tell(VICTIM, replace(honest, items=items).to_bytes())
    assert Kind.MASKED not in hub.heard
    assert hub.cohort.ledgers[VICTIM].rounds == NOTHING_SPENT


def test_shares_of_an_older_round_are_refused(hub: MaliciousHub) -> None:
    older = MaliciousHub(hub.cohort)
    old = dict(Delivery.from_bytes(older.up_to(Kind.DELIVERY)[VICTIM]).items)
    delivery_is_refused(hub, Reason.ROUND_SHARE_INVALID, lambda items: {**items, OTHER: old[OTHER]})


def test_shares_that_were_changed_are_refused(hub: MaliciousHub) -> None:
    delivery_is_refused(hub, Reason.ROUND_SHARE_INVALID, lambda items: {**items, OTHER: items[OTHER][:-1] + bytes([items[OTHER][-1] ^ 1])})


def test_shares_from_or_for_somebody_else_are_refused(hub: MaliciousHub) -> None:
    delivery_is_refused(hub, Reason.ROUND_SHARE_INVALID, lambda items: {**items, OTHER: items[THIRD]})


def test_a_devices_own_shares_are_refused_from_outside(hub: MaliciousHub) -> None:
    delivery_is_refused(hub, Reason.ROUND_SHARE_INVALID, lambda items: {**items, VICTIM: items[OTHER]})


def test_shares_of_fewer_than_the_threshold_are_refused(hub: MaliciousHub) -> None:
    delivery_is_refused(hub, Reason.ROUND_SHORT, lambda items: dict(list(items.items())[:2]))


def survivors_are_refused(hub: MaliciousHub, reason: Reason, alive: tuple[str, ...], dead: tuple[str, ...]) -> None:
    hub.up_to(Kind.SURVIVORS)
    with refused(reason):
        hub.tell(VICTIM, Survivors(hub.plan.round_id(), alive, dead).to_bytes())
    assert Kind.CONSENT not in hub.heard
    with refused(Reason.ROUND_OVER):
        hub.tell(VICTIM, hub.sent[Kind.SURVIVORS][VICTIM])


def test_a_device_called_alive_and_dead_is_refused(hub: MaliciousHub) -> None:
    survivors_are_refused(hub, Reason.SURVIVORS_CONTRADICT, hub.plan.cohort, (OTHER,))


def test_survivors_without_one_who_has_shared_are_refused(hub: MaliciousHub) -> None:
    survivors_are_refused(hub, Reason.SURVIVORS_INVALID, hub.plan.cohort[:5], ())


def test_survivors_with_one_who_has_not_shared_are_refused(hub: MaliciousHub) -> None:
    survivors_are_refused(hub, Reason.SURVIVORS_INVALID, (*hub.plan.cohort, "sybil"), ())


def test_a_device_that_is_called_dead_to_its_face_refuses(hub: MaliciousHub) -> None:
    survivors_are_refused(hub, Reason.SURVIVORS_INVALID, hub.plan.cohort[1:], (VICTIM,))


def test_fewer_survivors_than_the_threshold_are_refused(hub: MaliciousHub) -> None:
    survivors_are_refused(hub, Reason.ROUND_SHORT, hub.plan.cohort[:3], hub.plan.cohort[3:])


def test_fewer_survivors_than_the_devices_own_least_are_refused() -> None:
    hub = MaliciousHub(Cohort(6, smallest=6))
    survivors_are_refused(hub, Reason.ROUND_SHORT, hub.plan.cohort[:5], hub.plan.cohort[5:])


def test_survivors_listed_twice_are_refused(hub: MaliciousHub) -> None:
    hub.up_to(Kind.SURVIVORS)
    with refused(Reason.NAME_REPEATED):
        hub.tell(VICTIM, Survivors(hub.plan.round_id(), (VICTIM, *hub.plan.cohort), ()).to_bytes())


def test_with_split_views_neither_side_unmasks(hub: MaliciousHub) -> None:
    hub.up_to(Kind.SURVIVORS)
    round_id, cohort = hub.plan.round_id(), hub.plan.cohort
    for agent in cohort:
        missing = cohort[-1] if agent in cohort[:3] else cohort[0]
        views = Survivors(round_id, tuple(name for name in cohort if name != missing), (missing,))
        hub.tell(agent, views.to_bytes())
    consents = {agent: hub.heard[Kind.CONSENT][agent] for agent in cohort}
    for agent in cohort:
        alive = [name for name in cohort if name != (cohort[-1] if agent in cohort[:3] else cohort[0])]
        items = tuple((name, Consent.from_bytes(consents[name]).signature) for name in alive)
        with refused(Reason.SURVIVORS_DISPUTED):
            hub.tell(agent, Consents(round_id, items).to_bytes())
    assert Kind.UNMASKING not in hub.heard


def consents_are_refused(hub: MaliciousHub, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
    honest = Consents.from_bytes(hub.up_to(Kind.CONSENTS)[VICTIM])
    with refused(Reason.SURVIVORS_DISPUTED):
        hub.tell(VICTIM, replace(honest, items=tuple(sorted(change(dict(honest.items)).items()))).to_bytes())
    assert Kind.UNMASKING not in hub.heard
    with refused(Reason.ROUND_OVER):
        hub.tell(VICTIM, honest.to_bytes())


def test_fewer_consents_than_the_threshold_unmask_nothing(hub: MaliciousHub) -> None:
    consents_are_refused(hub, lambda items: {agent: items[agent] for agent in list(items)[:3]})


def test_a_consent_that_the_hub_has_made_up_unmasks_nothing(hub: MaliciousHub) -> None:
    consents_are_refused(hub, lambda items: {**items, OTHER: items[THIRD]})


def test_a_consent_of_an_older_round_unmasks_nothing(hub: MaliciousHub) -> None:
    older = MaliciousHub(Cohort(6, window="2026-W47"))
    old = dict(Consents.from_bytes(older.up_to(Kind.CONSENTS)[VICTIM]).items)
    consents_are_refused(hub, lambda items: {**items, OTHER: old[OTHER]})


def test_a_consent_of_who_is_not_alive_unmasks_nothing(hub: MaliciousHub) -> None:
    consents_are_refused(hub, lambda items: {**items, "sybil": next(iter(items.values()))})


def test_a_second_unmasking_is_refused(hub: MaliciousHub) -> None:
    consents = hub.up_to(Kind.CONSENTS)
    hub.tell(VICTIM, consents[VICTIM])
    assert hub.devices[VICTIM].is_over
    for message in (consents[VICTIM], hub.sent[Kind.SURVIVORS][VICTIM]):
        with refused(Reason.ROUND_OVER):
            hub.tell(VICTIM, message)


def test_of_each_device_one_kind_of_share_is_given_and_never_both(hub: MaliciousHub) -> None:
    lost = hub.plan.cohort[-1]
    consents = hub.up_to(Kind.CONSENTS, lost=(lost,))
    given = dict(Unmasking.from_bytes(hub.tell(VICTIM, consents[VICTIM])).items)
    assert set(given) == set(hub.plan.cohort)
    for agent in hub.plan.cohort[1:-1]:
        hub.tell(agent, consents[agent])
    keys = {item.agent: item for item in KeyList.from_bytes(hub.sent[Kind.KEY_LIST][VICTIM]).keys}
    found = put_together(hub)
    assert public_x25519(found[lost]) == keys[lost].masking_key
    for agent in hub.plan.cohort[:-1]:
        assert commitment(hub.plan.round_id(), agent, found[agent]) == keys[agent].commitment


def put_together(hub: MaliciousHub) -> dict[str, bytes]:
    """The one secret of each device that the shares which were given make."""
    given = {hub.plan.point(agent): dict(Unmasking.from_bytes(sent).items) for agent, sent in hub.heard[Kind.UNMASKING].items()}
    by_point = weights(tuple(given))
    return {agent: combine(by_point, {point: items[agent] for point, items in given.items()}) or b"" for agent in hub.plan.cohort}


@pytest.mark.parametrize("kind", [Kind.KEY_LIST, Kind.DELIVERY, Kind.SURVIVORS, Kind.CONSENTS])
def test_a_message_that_is_sent_again_or_before_its_turn_is_refused(hub: MaliciousHub, kind: Kind) -> None:
    messages = hub.up_to(kind)
    for earlier in [sent[VICTIM] for before, sent in hub.sent.items() if before is not kind]:
        with refused(Reason.ROUND_OUT_OF_ORDER):
            hub.tell(VICTIM, earlier)
    hub.tell(VICTIM, messages[VICTIM])
    with refused(Reason.ROUND_OVER if kind is Kind.CONSENTS else Reason.ROUND_OUT_OF_ORDER):
        hub.tell(VICTIM, messages[VICTIM])


@pytest.mark.parametrize("kind", [Kind.KEY_LIST, Kind.DELIVERY, Kind.SURVIVORS, Kind.CONSENTS])
def test_a_message_of_another_round_is_refused(hub: MaliciousHub, kind: Kind) -> None:
    other = MaliciousHub(Cohort(6, window="2026-W47"))
    foreign = other.up_to(kind)[VICTIM]
    own = hub.up_to(kind)[VICTIM]
    with refused(Reason.ROUND_UNKNOWN):
        hub.tell(VICTIM, foreign)
    hub.tell(VICTIM, own)


def test_a_devices_own_message_sent_back_is_refused(hub: MaliciousHub) -> None:
    hub.up_to(Kind.SURVIVORS)
    for kind in (Kind.KEYS, Kind.SHARES, Kind.MASKED):
        with refused(Reason.ROUND_OUT_OF_ORDER):
            hub.tell(VICTIM, hub.heard[kind][OTHER])


@pytest.mark.parametrize("kind", [Kind.PLAN, Kind.KEY_LIST, Kind.DELIVERY, Kind.SURVIVORS, Kind.CONSENTS])
def test_what_is_cut_off_or_goes_on_is_refused_and_changes_nothing(hub: MaliciousHub, kind: Kind) -> None:
    whole = hub.up_to(kind)[VICTIM]
    assert kind_of(whole) is kind
    for end in {0, 3, 4, 5, 6, 9, len(whole) // 2, len(whole) - 1}:
        with refused(Reason.ROUND_MESSAGE_INVALID):
            hub.tell(VICTIM, whole[:end])
    for more in (b"\0", b"\0\0\0\5tail"):
        with refused(Reason.ROUND_MESSAGE_INVALID):
            hub.tell(VICTIM, whole + more)
    hub.tell(VICTIM, whole)


def test_garbage_is_refused(hub: MaliciousHub) -> None:
    for content in (b"", b"{}", b"SWR1\x63", hub.cohort.randomness(1000)):
        with refused(Reason.ROUND_MESSAGE_INVALID):
            hub.tell(VICTIM, content)


def test_an_oversized_message_is_refused_before_it_is_read(hub: MaliciousHub) -> None:
    with refused(Reason.PAYLOAD_TOO_LARGE):
        hub.tell(VICTIM, bytes(MOST_BYTES + 1))


def test_what_leaves_a_device_is_masked_and_never_twice_in_the_same_way(hub: MaliciousHub) -> None:
    again = MaliciousHub(Cohort(6, seed=2))
    again.cohort.values = hub.cohort.values
    hub.up_to(Kind.SURVIVORS)
    again.up_to(Kind.SURVIVORS)
    vectors = {Masked.from_bytes(hub.heard[Kind.MASKED][VICTIM]).vector for hub in (hub, again)}
    assert len(vectors | {to_vector(hub.cohort.values[VICTIM])}) == 3


def test_no_seed_has_fewer_than_128_bits() -> None:
    cohort = Cohort(6)
    MaliciousHub(cohort).up_to(Kind.CONSENTS)
    assert min(cohort.bits_drawn) >= 128
    made = Secrets.make(cohort.randomness)
    assert {8 * len(seed) for seed in (made.encryption_seed, made.masking_seed, made.own_seed)} == {256}
