"""A device's own rules for a round. A hub cannot loosen one of them: what breaks a rule is refused, and the round is over for the device.

The threshold is at least two thirds of the cohort. Then two sets of so many devices have at least a third of the cohort in common; as
long as fewer than a third collude with the hub, an honest one is in both, and honest devices sign one set of survivors only (Bonawitz et
al. 2017, section 6).
"""

from collections.abc import Collection
from dataclasses import dataclass

from contract.errors import InvalidRequest, NotPermitted, NotPossibleNow, Reason
from contract.identity import key_hash
from contract.secagg.keys import are_signed, has_consented
from contract.secagg.messages import Consents, KeyList, Keys, Plan, Survivors
from contract.secagg.roster import Roster

MOST_AGENTS = 64


@dataclass(frozen=True, slots=True)
class Rules:
    """What the device's own configuration and state say.

    Args:
        smallest_cohort: no sum has fewer contributions.
        least_roster_version: the greatest that the device has seen.
    """

    smallest_cohort: int = 8
    least_roster_version: int = 1


@dataclass(frozen=True, slots=True)
class Terms:
    """What the device has to report, by its own release and clock.

    Args:
        window: the span of time that is over and is to be reported.
        schema: SHA-256 of what each entry means.
        entries: of the vector.
        scale_bits: of its numbers.
    """

    window: str
    schema: bytes
    entries: int
    scale_bits: int


def least_threshold(cohort_size: int) -> int:
    """Returns two thirds of a cohort, rounded up: always more than half of it."""
    return -(-2 * cohort_size // 3)


def fewest_honest(plan: Plan) -> int:
    """Returns how many honest contributions are in every sum, where fewer than a third of the cohort collude. Noise is sized for these."""
    return plan.threshold - (len(plan.cohort) - 1) // 3


def check_plan(plan: Plan, agent: str, roster: Roster, rules: Rules) -> None:
    """Refuses a plan that breaks a rule.

    Raises:
        NotPermitted: ROSTER_OLD, ROSTER_UNKNOWN, COHORT_INVALID, COHORT_TOO_SMALL or THRESHOLD_TOO_LOW.
    """
    if min(roster.version, plan.roster_version) < rules.least_roster_version:
        raise NotPermitted(Reason.ROSTER_OLD, f"A roster of version {rules.least_roster_version} has been seen: use that or a later one.")
    if (plan.roster_version, plan.roster_digest) != (roster.version, roster.digest):
        raise NotPermitted(Reason.ROSTER_UNKNOWN, "The round is about another roster than the signed one: publish it, and plan anew.")
    if len(plan.cohort) < max(rules.smallest_cohort, 1):
        raise NotPermitted(Reason.COHORT_TOO_SMALL, f"A cohort has {rules.smallest_cohort} devices at least: ask more.")
    if len(plan.cohort) > MOST_AGENTS or agent not in plan.cohort or any(name not in roster.members for name in plan.cohort):
        raise NotPermitted(Reason.COHORT_INVALID, f"A cohort is of at most {MOST_AGENTS} of the roster, this device too: plan anew.")
    if not least_threshold(len(plan.cohort)) <= plan.threshold <= len(plan.cohort):
        raise NotPermitted(Reason.THRESHOLD_TOO_LOW, "The threshold is from two thirds of the cohort to all of it: plan anew.")


def check_member(agent: str, member_key: bytes, roster: Roster) -> None:
    """Refuses a roster in which this device has another key than its own: somebody else may be meant to speak in its name.

    Raises:
        NotPermitted: ROUND_KEY_INVALID.
    """
    if roster.members.get(agent) != key_hash(member_key):
        raise NotPermitted(
            Reason.ROUND_KEY_INVALID,
            "The signed roster has another member key for this device than its own: hold seawall-agent learning show against it.",
        )


def check_terms(plan: Plan, terms: Terms) -> None:
    """Refuses a plan that asks for something else than the device has to report.

    Raises:
        NotPermitted: SCHEMA_UNKNOWN.
    """
    asked = (plan.window, plan.schema, plan.entries, plan.scale_bits)
    if asked != (terms.window, terms.schema, terms.entries, terms.scale_bits):
        raise NotPermitted(Reason.SCHEMA_UNKNOWN, "The device reports another window or by another schema: ask for that.")


def check_keys(keys: Keys, plan: Plan, round_id: bytes, roster: Roster) -> None:
    """Refuses keys that are not of this round, or not of who is in the roster.

    Raises:
        NotPermitted: COHORT_INVALID or ROUND_KEY_INVALID.
    """
    if keys.agent not in plan.cohort:
        raise NotPermitted(Reason.COHORT_INVALID, f"The device {keys.agent} is not in the cohort: leave it out.")
    is_right = keys.round_id == round_id and key_hash(keys.member_key) == roster.members[keys.agent]
    if not is_right or not are_signed(keys):
        raise NotPermitted(
            Reason.ROUND_KEY_INVALID,
            f"The keys of {keys.agent} are not signed for this round by the roster's key: leave it out.",
        )


def check_key_list(key_list: KeyList, own: Keys, plan: Plan, roster: Roster, rules: Rules) -> None:
    """Refuses a list of keys that breaks a rule.

    Raises:
        NotPermitted: ROUND_KEY_REPLACED, COHORT_INVALID or ROUND_KEY_INVALID.
        NotPossibleNow: ROUND_SHORT.
    """
    if own not in key_list.keys:
        raise NotPermitted(Reason.ROUND_KEY_REPLACED, "The keys are not the ones that this device has made: begin a new round.")
    check_enough([keys.agent for keys in key_list.keys], plan, rules)
    for keys in key_list.keys:
        if keys != own:
            check_keys(keys, plan, own.round_id, roster)


def check_enough(agents: Collection[str], plan: Plan, rules: Rules) -> None:
    """Refuses to go on with too few.

    Raises:
        NotPossibleNow: ROUND_SHORT.
    """
    if len(agents) < max(plan.threshold, rules.smallest_cohort):
        raise short(len(agents), max(plan.threshold, rules.smallest_cohort))


def check_survivors(survivors: Survivors, agent: str, shared: Collection[str], plan: Plan, rules: Rules) -> None:
    """Refuses what is no partition, into alive and dead, of those who have shared.

    Raises:
        NotPermitted: SURVIVORS_CONTRADICT or SURVIVORS_INVALID.
        NotPossibleNow: ROUND_SHORT.
    """
    if set(survivors.alive) & set(survivors.dead):
        raise NotPermitted(Reason.SURVIVORS_CONTRADICT, "A device is called alive and dead: both its secrets are never given.")
    if {*survivors.alive, *survivors.dead} != set(shared) or agent not in survivors.alive:
        raise NotPermitted(Reason.SURVIVORS_INVALID, "Alive and dead are not those who shared, this device alive: begin a new round.")
    check_enough(survivors.alive, plan, rules)


def check_consents(consents: Consents, survivors: Survivors, key_list: KeyList, plan: Plan) -> None:
    """Refuses to unmask unless so many as the threshold, all alive, have signed the very same survivors.

    Raises:
        NotPermitted: SURVIVORS_DISPUTED.
    """
    keys, digest = {item.agent: item for item in key_list.keys}, key_list.digest()
    signed = [agent for agent, sign in consents.items if agent in survivors.alive and has_consented(keys[agent], sign, survivors, digest)]
    if len(signed) < len(consents.items) or len(signed) < plan.threshold:
        raise NotPermitted(
            Reason.SURVIVORS_DISPUTED, f"{len(signed)} devices have signed these survivors, {plan.threshold} have to: begin a new round."
        )


def check_vector(vector: bytes, plan: Plan, entry_bytes: int) -> None:
    """Refuses a vector of another length.

    Raises:
        InvalidRequest: CONTRIBUTION_INVALID.
    """
    if len(vector) != plan.entries * entry_bytes:
        raise InvalidRequest(Reason.CONTRIBUTION_INVALID, f"By the plan, the vector has {plan.entries} entries: see that schemas agree.")


def short(left: int, needed: int) -> NotPossibleNow:
    """Returns the error for a round that too few are left of."""
    return NotPossibleNow(Reason.ROUND_SHORT, f"{left} devices are left, {needed} have to be: the round is over, report the next window.")
