"""What a hub that has the CA and every online key tries with plans and keys, and the reason with which a device refuses it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from contract.errors import NotPermitted, Reason
from contract.secagg.keys import Secrets, sign_keys
from contract.secagg.masks import to_vector
from contract.secagg.messages import Delivery, KeyList, Keys, Plan, Shares
from contract.secagg.roster import Roster
from contract.secagg.wire import Kind
from tests.fakes.malicious_hub import MaliciousHub
from tests.fakes.secagg_cohort import Cohort, member_key, refused

VICTIM, OTHER, THIRD = "agent-0", "agent-1", "agent-2"
NOTHING_SPENT: dict[str, bytes] = {}


@pytest.fixture
def hub() -> MaliciousHub:
    return MaliciousHub(Cohort(6))


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


def test_a_roster_that_has_another_key_for_the_device_is_refused(hub: MaliciousHub) -> None:
    hub.cohort.roster = Roster(7, {**hub.cohort.roster.members, VICTIM: "0" * 64})
    other = MaliciousHub(hub.cohort)
    plan_is_refused(other, Reason.ROUND_KEY_INVALID, other.plan)


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


def test_a_vector_of_another_length_than_the_plans_does_not_leave(hub: MaliciousHub) -> None:
    hub.devices[VICTIM] = hub.cohort.participant(VICTIM, lambda _: to_vector([1, 2]))
    delivery = hub.up_to(Kind.DELIVERY)
    with refused(Reason.CONTRIBUTION_INVALID):
        hub.tell(VICTIM, delivery[VICTIM])
    assert hub.devices[VICTIM].is_over


def test_the_same_plan_after_a_restart_is_answered_with_other_keys_and_what_was_before_is_refused(hub: MaliciousHub) -> None:
    before = hub.up_to(Kind.KEY_LIST)[VICTIM]
    old = hub.heard[Kind.KEYS][VICTIM]
    hub.devices[VICTIM] = hub.cohort.participant(VICTIM)
    new = Keys.from_bytes(hub.tell(VICTIM, hub.plan.to_bytes()))
    for name in ("encryption_key", "masking_key", "commitment"):
        assert getattr(new, name) != getattr(Keys.from_bytes(old), name)
    with refused(Reason.ROUND_KEY_REPLACED):
        hub.tell(VICTIM, before)


def test_of_two_keys_that_a_device_has_signed_for_one_round_each_half_can_be_shown_one_and_neither_goes_on() -> None:
    hub = MaliciousHub(Cohort(6, smallest=1))
    lists = [KeyList.from_bytes(hub.up_to(Kind.KEY_LIST)[VICTIM])]
    hub.devices[VICTIM] = hub.cohort.participant(VICTIM)
    second = Keys.from_bytes(hub.tell(VICTIM, hub.plan.to_bytes()))
    lists.append(replace(lists[0], keys=(second, *lists[0].keys[1:])))
    shown = dict(zip(hub.plan.cohort, (1, 0, 0, 0, 1, 1), strict=True))
    sealed = {agent: dict(Shares.from_bytes(hub.tell(agent, lists[shown[agent]].to_bytes())).items) for agent in hub.plan.cohort}
    for number, agent in enumerate(hub.plan.cohort):
        others = [other for other in hub.plan.cohort if other != agent]
        same = [other for other in others if shown[other] == shown[agent]]
        senders, reason = (others, Reason.ROUND_SHARE_INVALID) if number % 2 else (same, Reason.ROUND_SHORT)
        with refused(reason):
            hub.tell(agent, Delivery(hub.plan.round_id(), tuple((sender, sealed[sender][agent]) for sender in senders)).to_bytes())
        assert hub.cohort.ledgers[agent].rounds == NOTHING_SPENT


def key_list_is_refused(hub: MaliciousHub, reason: Reason, change: Callable[[list[Keys]], list[Keys]]) -> None:
    honest = KeyList.from_bytes(hub.up_to(Kind.KEY_LIST)[VICTIM])
    changed = sorted(change(list(honest.keys)), key=lambda keys: keys.agent)
    with refused(reason):
        hub.tell(VICTIM, replace(honest, keys=tuple(changed)).to_bytes())
    assert Kind.SHARES not in hub.heard
    assert hub.cohort.ledgers[VICTIM].rounds == NOTHING_SPENT


def test_a_key_under_a_member_key_of_the_hubs_own_is_refused(hub: MaliciousHub) -> None:
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


def test_a_graph_with_fewer_neighbours_than_the_threshold_is_refused() -> None:
    hub = MaliciousHub(Cohort(6, smallest=1))
    key_list_is_refused(hub, Reason.ROUND_SHORT, lambda keys: keys[:3])


def test_a_colluding_devices_key_that_agrees_on_nothing_secret_is_refused(hub: MaliciousHub) -> None:
    colluder = sign_keys(Secrets.make(hub.cohort.randomness), hub.plan.round_id(), OTHER, member_key(OTHER))
    key = member_key(OTHER)
    bad = replace(colluder, encryption_key=bytes(32), signature=b"")
    signed = replace(bad, signature=resigned(bad, key))
    key_list_is_refused(hub, Reason.ROUND_KEY_INVALID, lambda keys: [keys[0], signed, *keys[2:]])


def resigned(keys: Keys, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signature that a colluding device puts under keys that it likes."""
    fields = b"".join(len(field).to_bytes(4, "big") + field for field in keys.signed_fields())
    return key.sign(b"seawall-secagg-keys-v1\0" + fields, ec.ECDSA(SHA256()))
