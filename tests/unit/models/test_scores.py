import math

import numpy as np
import pytest

from models.evaluation.scores import Scores, joined, of_logits, windows


def scores(log_probabilities: list[float], best: list[int]) -> Scores:
    return Scores(np.array(log_probabilities), np.array(best))


def test_a_model_that_knows_nothing_has_the_vocabulary_as_its_perplexity() -> None:
    assert of_logits(np.zeros((5, 100), np.float32), [1, 2, 3, 4, 5]).perplexity() == pytest.approx(100)


def test_a_model_that_knows_all_has_perplexity_one() -> None:
    logits = np.full((3, 10), -100, np.float32)
    logits[[0, 1, 2], [7, 8, 9]] = 100
    assert of_logits(logits, [7, 8, 9]).perplexity() == pytest.approx(1)
    assert list(of_logits(logits, [0, 0, 0]).best) == [7, 8, 9]


def test_logits_far_from_zero_do_not_overflow() -> None:
    logits = np.array([[3e4, 3e4]], np.float32)
    assert of_logits(logits, [1]).log_probabilities[0] == pytest.approx(math.log(0.5))


def test_agreement_is_the_share_of_equal_choices() -> None:
    assert scores([0] * 4, [1, 2, 3, 4]).agreement(scores([0] * 4, [1, 2, 3, 9])) == 0.75


def test_joined_scores_keep_their_order() -> None:
    both = joined([scores([-1.0], [5]), scores([-2.0, -3.0], [6, 7])])
    assert list(both.log_probabilities) == [-1, -2, -3]
    assert list(both.best) == [5, 6, 7]


@pytest.mark.parametrize(("count", "sizes"), [(2, [2]), (9, [9]), (10, [10]), (19, [10]), (20, [10, 10]), (25, [10, 10])])
def test_windows_follow_each_other_and_a_short_text_is_one(count: int, sizes: list[int]) -> None:
    cut = windows(range(count), size=10)
    assert [len(window) for window in cut] == sizes
    assert [token for window in cut for token in window] == list(range(sum(sizes)))
