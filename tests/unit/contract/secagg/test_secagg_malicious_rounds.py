"""What a malicious hub tries with shares, survivors, consents and messages, and the reason with which a device refuses it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from contract.errors import Reason
from contract.secagg.keys import Secrets, commitment, public_x25519, sign_survivors
from contract.secagg.masks import to_vector
from contract.secagg.messages import Consent, Consents, Delivery, KeyList, Masked, Survivors, Unmasking
from contract.secagg.shamir import combine, weights
from contract.secagg.wire import MOST_BYTES, Kind, kind_of
from tests.fakes.malicious_hub import MaliciousHub
from tests.fakes.secagg_cohort import Cohort, member_key, refused

VICTIM, OTHER, THIRD = "agent-0", "agent-1", "agent-2"
NOTHING_SPENT: dict[str, bytes] = {}


@pytest.fixture
def hub() -> MaliciousHub:
    return MaliciousHub(Cohort(6))


@pytest.fixture
def lax() -> MaliciousHub:
    """Its devices ask for no size of their own: the threshold of 4 alone holds."""
    return MaliciousHub(Cohort(6, smallest=1))


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


def test_shares_of_fewer_than_the_threshold_are_refused(lax: MaliciousHub) -> None:
    delivery_is_refused(lax, Reason.ROUND_SHORT, lambda items: dict(list(items.items())[:2]))


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


def test_fewer_survivors_than_the_threshold_are_refused(lax: MaliciousHub) -> None:
    survivors_are_refused(lax, Reason.ROUND_SHORT, lax.plan.cohort[:3], lax.plan.cohort[3:])


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


def test_a_consent_to_the_same_survivors_of_other_keys_unmasks_nothing(hub: MaliciousHub) -> None:
    survivors = Survivors(hub.plan.round_id(), hub.plan.cohort, ())
    other_keys = sign_survivors(member_key(OTHER), survivors, bytes(32))
    consents_are_refused(hub, lambda items: {**items, OTHER: other_keys})


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


def test_what_devices_share_fewer_than_the_threshold_cannot_put_together(hub: MaliciousHub) -> None:
    for agent, consents in hub.up_to(Kind.CONSENTS).items():
        hub.tell(agent, consents)
    keys = {item.agent: item for item in KeyList.from_bytes(hub.sent[Kind.KEY_LIST][VICTIM]).keys}
    for givers, is_enough in ((hub.plan.threshold, True), (hub.plan.threshold - 1, False)):
        for agent, found in put_together(hub, givers).items():
            assert (commitment(hub.plan.round_id(), agent, found) == keys[agent].commitment) == is_enough


def put_together(hub: MaliciousHub, givers: int = 6) -> dict[str, bytes]:
    """The one secret of each device that the shares which so many gave make."""
    given = {
        hub.plan.point(agent): dict(Unmasking.from_bytes(sent).items) for agent, sent in list(hub.heard[Kind.UNMASKING].items())[:givers]
    }
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
