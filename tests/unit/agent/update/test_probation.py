"""When a probation ends, and how."""

from dataclasses import replace

import pytest

from agent.store.live import LiveCounts
from agent.update.probation import judge
from agent.update.trial import Trial, read_trial
from contract import health
from seawall.hub.v1.rollout_pb2 import Trial as TrialMessage

TRIAL = read_trial(TrialMessage())
BEFORE = LiveCounts(answers=200, unsure=20, bad=4)


def test_what_a_rollout_leaves_unsaid_is_as_the_protocol_says() -> None:
    limits = {
        health.ERROR_SHARE: 0.02,
        health.ESCALATION_SHARE_RISE: 0.1,
        health.NEGATIVE_SHARE_RISE: 0.1,
        health.SPEED_RATIO: 0.5,
        health.PERPLEXITY_RATIO: 1.5,
    }
    assert Trial(0, 50, 3600, 20, 600, 86_400, limits) == TRIAL


def test_what_a_rollout_says_is_taken() -> None:
    message = TrialMessage(shadow_percent=300, shadow_answers=7, min_shadow_agreement=0.8, probation_answers=3, max_error_share=0)
    message.shadow_time.seconds, message.probation_time.seconds, message.probation_limit.seconds = 5, 90, 30
    trial = read_trial(message)
    assert (trial.shadow_percent, trial.shadow_answers, trial.shadow_seconds) == (100, 7, 5)
    assert (trial.probation_answers, trial.probation_seconds, trial.probation_limit_seconds) == (3, 90, 90)
    assert (trial.limits[health.SHADOW_AGREEMENT], trial.limits[health.ERROR_SHARE]) == (0.8, 0)


@pytest.mark.parametrize(
    ("answers", "seconds", "is_over"),
    [(20, 600, True), (19, 600, False), (20, 599, False), (0, 86_400, True), (0, 86_399, False)],
)
def test_it_ends_after_so_many_answers_and_so_long_or_when_time_is_up(answers: int, seconds: float, is_over: bool) -> None:
    verdict = judge(LiveCounts(answers=answers), BEFORE, seconds, TRIAL)
    assert (verdict.failed, verdict.is_over) == ("", is_over)


def test_errors_fail_it_as_soon_as_no_more_answers_could_make_up_for_them() -> None:
    patient = replace(TRIAL, limits={**TRIAL.limits, health.ERROR_SHARE: 0.1})
    assert judge(LiveCounts(answers=0, errors=2), BEFORE, 1, patient).failed == ""
    verdict = judge(LiveCounts(answers=0, errors=3), BEFORE, 1, patient)
    assert verdict.failed == health.ERROR_SHARE
    assert verdict.sentence == "error_share is 0.15; at most 0.1 is wanted."
    assert judge(LiveCounts(answers=97, errors=3), BEFORE, 1, patient).failed == ""


def test_shares_are_compared_once_there_are_enough_answers() -> None:
    assert judge(LiveCounts(answers=10, unsure=10), BEFORE, 1, TRIAL).failed == ""
    assert judge(LiveCounts(answers=20, unsure=20), BEFORE, 1, TRIAL).failed == health.ESCALATION_SHARE_RISE
    assert judge(LiveCounts(answers=20, bad=20), BEFORE, 1, TRIAL).failed == health.NEGATIVE_SHARE_RISE


def test_a_small_rise_fails_it_only_when_it_was_seen_often_enough() -> None:
    assert judge(LiveCounts(answers=20, unsure=6), BEFORE, 1, TRIAL).failed == ""
    assert judge(LiveCounts(answers=2000, unsure=600), BEFORE, 1, TRIAL).failed == health.ESCALATION_SHARE_RISE


def test_a_device_that_answered_nothing_before_has_nothing_to_compare_with() -> None:
    verdict = judge(LiveCounts(answers=20, unsure=20), LiveCounts(), 600, TRIAL)
    assert (verdict.failed, verdict.is_over) == ("", True)
    assert health.ESCALATION_SHARE_RISE not in verdict.figures


def test_more_feedback_than_answers_is_no_share_above_one() -> None:
    verdict = judge(LiveCounts(answers=20, bad=300), LiveCounts(answers=10, bad=30), 600, TRIAL)
    assert verdict.figures[health.NEGATIVE_SHARE_RISE] == 0
