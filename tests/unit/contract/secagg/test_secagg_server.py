"""The hub's side: what it refuses of devices, where it gives up, and that it never gives a wrong sum."""

from dataclasses import replace

import pytest

from contract.errors import Reason
from contract.secagg.messages import Consent, Keys, Masked, Shares, Unmasking
from contract.secagg.server import Coordinator
from contract.secagg.wire import Kind, kind_of
from tests.fakes.secagg_cohort import Cohort, refused

FIRST, SECOND = "agent-0", "agent-1"


class HonestRound:
    """A round up to a stage, whose devices have answered, and whose hub has not heard the first one's answer yet."""

    def __init__(self, kind: Kind, lost: tuple[str, ...] = ()) -> None:
        self.cohort = Cohort(6)
        self.devices = self.cohort.participants()
        self.hub = Coordinator(self.cohort.plan(), self.cohort.roster)
        messages = self.hub.invitations()
        while True:
            self.answers = {agent: self.devices[agent].receive(message) for agent, message in messages.items()}
            if kind_of(self.answers[FIRST]) is Kind.MASKED:
                self.answers = {agent: answer for agent, answer in self.answers.items() if agent not in lost}
            for agent in sorted(self.answers.keys() - {FIRST}):
                self.hub.receive(agent, self.answers[agent])
            if kind_of(self.answers[FIRST]) is kind:
                return
            self.hub.receive(FIRST, self.answers[FIRST])
            messages = self.hub.close_stage()

    def is_refused(self, reason: Reason, content: bytes) -> None:
        """A refused answer counts for nothing, and the right one is still taken."""
        with refused(reason):
            self.hub.receive(FIRST, content)
        assert self.hub.receive(FIRST, self.answers[FIRST])


@pytest.mark.parametrize("cohort", [(), ("agent-0",)])
def test_a_round_of_nobody_or_below_its_threshold_is_not_begun(cohort: tuple[str, ...]) -> None:
    six = Cohort(6)
    with refused(Reason.ROUND_SHORT):
        Coordinator(replace(six.plan(), cohort=cohort), six.roster)


def test_a_round_with_who_is_not_in_the_roster_is_not_begun() -> None:
    six = Cohort(6)
    with refused(Reason.COHORT_INVALID):
        Coordinator(replace(six.plan(), cohort=(*six.agents, "other")), six.roster)


def test_a_stage_that_nobody_answers_ends_the_round() -> None:
    six = Cohort(6)
    hub = Coordinator(six.plan(), six.roster)
    with refused(Reason.ROUND_SHORT):
        hub.close_stage()
    assert hub.is_over
    assert hub.sum is None
    with refused(Reason.ROUND_OVER):
        hub.close_stage()


def test_it_says_when_all_who_were_asked_have_answered() -> None:
    round_ = HonestRound(Kind.KEYS)
    assert round_.hub.receive(FIRST, round_.answers[FIRST])


def test_a_late_answer_one_that_comes_twice_and_a_strangers_are_refused() -> None:
    round_ = HonestRound(Kind.SHARES)
    answers = round_.answers
    for agent in (SECOND, "stranger"):
        with refused(Reason.ROUND_OUT_OF_ORDER):
            round_.hub.receive(agent, answers[SECOND])
    round_.hub.close_stage()
    for agent in (FIRST, SECOND):
        with refused(Reason.ROUND_OUT_OF_ORDER):
            round_.hub.receive(agent, answers[agent])


@pytest.mark.parametrize("kind", [Kind.KEYS, Kind.SHARES, Kind.MASKED, Kind.CONSENT, Kind.UNMASKING])
def test_an_answer_to_another_round_or_cut_off_is_refused(kind: Kind) -> None:
    whole = HonestRound(kind).answers[FIRST]
    other_round = whole[:9] + bytes(32) + whole[41:]
    HonestRound(kind).is_refused(Reason.ROUND_UNKNOWN, other_round)
    HonestRound(kind).is_refused(Reason.ROUND_MESSAGE_INVALID, whole[:-1])


def test_somebody_elses_keys_are_refused() -> None:
    round_ = HonestRound(Kind.KEYS)
    round_.is_refused(Reason.ROUND_KEY_INVALID, round_.answers[SECOND])


def test_keys_that_are_not_signed_are_refused() -> None:
    round_ = HonestRound(Kind.KEYS)
    keys = Keys.from_bytes(round_.answers[FIRST])
    round_.is_refused(Reason.ROUND_KEY_INVALID, replace(keys, masking_key=bytes(32)).to_bytes())


def test_shares_that_leave_a_device_out_are_refused() -> None:
    round_ = HonestRound(Kind.SHARES)
    shares = Shares.from_bytes(round_.answers[FIRST])
    round_.is_refused(Reason.ROUND_MESSAGE_INVALID, replace(shares, items=shares.items[1:]).to_bytes())


def test_a_vector_of_another_length_is_refused() -> None:
    round_ = HonestRound(Kind.MASKED)
    masked = Masked.from_bytes(round_.answers[FIRST])
    round_.is_refused(Reason.CONTRIBUTION_INVALID, replace(masked, vector=masked.vector + bytes(8)).to_bytes())


def test_a_signature_over_other_survivors_is_refused() -> None:
    round_ = HonestRound(Kind.CONSENT)
    other = Consent.from_bytes(round_.answers[SECOND])
    round_.is_refused(Reason.SURVIVORS_DISPUTED, other.to_bytes())


def test_an_unmasking_without_a_share_is_refused() -> None:
    round_ = HonestRound(Kind.UNMASKING)
    unmasking = Unmasking.from_bytes(round_.answers[FIRST])
    round_.is_refused(Reason.ROUND_MESSAGE_INVALID, replace(unmasking, items=unmasking.items[:-1]).to_bytes())


@pytest.mark.parametrize("lost", [(), ("agent-5",)], ids=["of the living", "of the dead"])
def test_one_wrong_share_makes_no_sum_and_never_a_wrong_one(lost: tuple[str, ...]) -> None:
    round_ = HonestRound(Kind.UNMASKING, lost=lost)
    unmasking = Unmasking.from_bytes(round_.answers[FIRST])
    name, share = unmasking.items[-1]
    items = (*unmasking.items[:-1], (name, share[:-1] + bytes([share[-1] ^ 1])))
    round_.hub.receive(FIRST, replace(unmasking, items=items).to_bytes())
    with refused(Reason.ROUND_SHARE_INVALID):
        round_.hub.close_stage()
    assert round_.hub.sum is None


def test_a_share_that_is_no_number_of_the_field_makes_no_sum() -> None:
    round_ = HonestRound(Kind.UNMASKING)
    unmasking = Unmasking.from_bytes(round_.answers[FIRST])
    items = tuple((name, b"\xff" * len(share)) for name, share in unmasking.items)
    round_.hub.receive(FIRST, replace(unmasking, items=items).to_bytes())
    with refused(Reason.ROUND_SHARE_INVALID):
        round_.hub.close_stage()


def test_the_sum_names_whose_contributions_are_in_it() -> None:
    cohort = Cohort(6)
    found = cohort.run({FIRST: Kind.MASKED, SECOND: Kind.UNMASKING})
    assert found.agents == cohort.agents[1:]
    assert found.values == cohort.sum_of(cohort.agents[1:])
