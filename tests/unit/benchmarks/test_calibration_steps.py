"""The best steps keep the order, and no other map that keeps it is nearer to what answers were called."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.calibration_fleet import brier, central_map
from benchmarks.calibration_steps import Steps, best_steps

figures = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.8])
windows = st.lists(st.tuples(figures, st.booleans()), min_size=1, max_size=40)


def test_what_breaks_the_order_is_one_step() -> None:
    judged = [(0.1, False), (0.2, True), (0.2, True), (0.3, False), (0.9, True)]
    assert best_steps(judged) == Steps((0.1, 0.3, 0.9), (0.0, 2 / 3, 1.0))


def test_a_figure_belongs_to_the_step_that_ends_at_or_above_it() -> None:
    steps = Steps((0.2, 0.6), (0.1, 0.7))
    assert [steps.probability(figure) for figure in (0.05, 0.2, 0.21, 0.6, 0.99)] == [0.1, 0.1, 0.7, 0.7, 0.7]


def test_answers_of_one_figure_are_one_step_whatever_their_order() -> None:
    assert best_steps([(0.5, True), (0.5, False)]) == best_steps([(0.5, False), (0.5, True)]) == Steps((0.5,), (0.5,))


@given(windows, st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_no_other_map_that_keeps_the_order_is_nearer(judged: list[tuple[float, bool]], others: list[float]) -> None:
    steps = best_steps(judged)
    assert list(steps.probabilities) == sorted(set(steps.probabilities))
    other = Steps((0.1, 0.2, 0.3, 0.5, 0.8), tuple(sorted(others)))
    assert brier(steps, judged) <= brier(other, judged) + 1e-9


def test_the_map_of_two_numbers_is_no_nearer() -> None:
    judged = [(0.2, False)] * 5 + [(0.4, True)] + [(0.4, False)] * 2 + [(0.7, True)] * 4 + [(0.7, False)]
    assert brier(best_steps(judged), judged) < brier(central_map(judged), judged)
