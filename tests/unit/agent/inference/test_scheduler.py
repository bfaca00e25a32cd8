import itertools

import pytest

from agent.inference.prefixes import Copy
from agent.inference.scheduler import Decode, Prefill, Release, Run, Scheduler
from agent.inference.settings import EngineSettings
from agent.inference.waiting import Request
from contract.errors import Busy, Reason

SETTINGS = EngineSettings(slots=3, queue_size=4, prefill_piece_tokens=100, shared_piece_tokens=10, prefix_rows=2, prefix_tokens=200)


def request(number: int, length: int = 12, **fields: float) -> Request:
    return Request(number, tuple(1000 * number + index for index in range(length)), **fields)  # type: ignore[arg-type]


def run(scheduler: Scheduler) -> Run | None:
    _, next_run = scheduler.next_run()
    if next_run:
        scheduler.ran(next_run)
    return next_run


def decoding(count: int) -> Scheduler:
    """A scheduler in whose rows 0..count-1 the requests 0..count-1 decode."""
    scheduler = Scheduler(SETTINGS)
    for number in range(count):
        scheduler.submit(request(number))
    while len(scheduler.decoding) < count:
        run(scheduler)
    return scheduler


def test_a_prompt_alone_is_prefilled_in_large_pieces_and_then_decodes() -> None:
    scheduler = Scheduler(SETTINGS)
    asked = request(1, 150)
    scheduler.submit(asked)
    assert run(scheduler) == Prefill(asked, 0, 0, 100)
    assert run(scheduler) == Prefill(asked, 0, 100, 150)
    assert run(scheduler) == Decode((1,), (150,))
    assert run(scheduler) == Decode((1,), (151,))


def test_between_the_small_pieces_of_a_newcomer_the_others_go_on() -> None:
    scheduler = decoding(1)
    asked = request(9, 25)
    scheduler.submit(asked)
    runs = [run(scheduler) for _ in range(6)]
    pieces = [step for step in runs if isinstance(step, Prefill)]
    assert [(piece.row, piece.start, piece.end) for piece in pieces] == [(1, 0, 10), (1, 10, 20), (1, 20, 25)]
    assert [isinstance(step, Decode) for step in runs].count(True) == 3
    assert not any(isinstance(one, Prefill) and isinstance(two, Prefill) for one, two in itertools.pairwise(runs))


def test_no_piece_is_a_single_token() -> None:
    scheduler = decoding(1)
    scheduler.submit(request(9, 21))
    lengths = [step.end - step.start for _ in range(5) if isinstance(step := run(scheduler), Prefill)]
    assert lengths == [10, 11]


def test_the_last_row_fills_the_gap_of_one_who_leaves() -> None:
    scheduler = decoding(3)
    length = scheduler._lengths[2]
    scheduler.finish(0, now_seconds=1.0)
    changes, next_run = scheduler.next_run()
    assert changes == [Copy(2, 0, 0, length)]
    assert isinstance(next_run, Decode)
    assert next_run.request_ids == (2, 1)


def test_a_newcomer_is_moved_when_the_row_before_it_became_free() -> None:
    scheduler = decoding(2)
    scheduler.submit(request(9, 15))
    while not isinstance(step := run(scheduler), Prefill):
        pass
    assert step.row == 2
    scheduler.cancel(1)
    while not isinstance(step := run(scheduler), Prefill):
        pass
    changes, _ = scheduler.next_run()
    assert Copy(2, 1, 0, 15) in changes
    assert [asked.request_id for asked in scheduler.decoding] == [0, 9]


def test_a_second_prompt_with_the_same_beginning_is_prefilled_from_there() -> None:
    scheduler = Scheduler(SETTINGS)
    first = request(1, 50)
    scheduler.submit(first)
    run(scheduler)
    scheduler.finish(1, 0.0)
    scheduler.submit(Request(2, (*first.tokens[:40], 7, 8, 9)))
    changes, step = scheduler.next_run()
    kept_row = next(iter(scheduler.kept_prefixes))
    assert changes == [Copy(0, kept_row, 0, 50), Copy(kept_row, 0, 0, 40)]
    assert isinstance(step, Prefill)
    assert (step.start, step.end) == (40, 43)


def test_of_a_known_prompt_two_tokens_are_prefilled_again() -> None:
    scheduler = Scheduler(SETTINGS)
    scheduler.submit(request(1, 50))
    run(scheduler)
    scheduler.finish(1, 0.0)
    scheduler.submit(Request(2, request(1, 50).tokens))
    step = run(scheduler)
    assert isinstance(step, Prefill)
    assert (step.start, step.end) == (48, 50)


def test_a_full_queue_refuses_and_says_how_long_to_wait() -> None:
    scheduler = decoding(3)
    for time_seconds in (0.0, 4.0, 8.0):
        scheduler.finish(scheduler.decoding[0].request_id, time_seconds)
    for number in range(7):
        scheduler.submit(request(10 + number))
    with pytest.raises(Busy, match=r"7 prompts are waiting.*in about 4 s") as caught:
        scheduler.submit(request(20))
    assert caught.value.reason is Reason.QUEUE_FULL


def test_whoever_is_late_is_dropped_wherever_it_is() -> None:
    scheduler = Scheduler(SETTINGS)
    for number in range(4):
        scheduler.submit(request(number, deadline_seconds=5.0))
    run(scheduler)
    run(scheduler)
    assert scheduler.expire(4.9) == []
    assert sorted(scheduler.expire(5.0)) == [0, 1, 2, 3]
    assert scheduler.is_idle


@pytest.mark.parametrize("number", [0, 8, 9])
def test_a_cancelled_request_runs_no_more(number: int) -> None:
    scheduler = decoding(1)
    scheduler.submit(request(8, 90))
    scheduler.submit(request(9))
    run(scheduler)
    run(scheduler)
    scheduler.cancel(number)
    scheduler.cancel(number)
    seen = set()
    for _ in range(40):
        step = run(scheduler)
        seen |= set(step.request_ids) if isinstance(step, Decode) else {step.request.request_id} if step else set()
    assert seen == {0, 8, 9} - {number}


def test_idle_rows_are_released_once_and_only_when_nothing_runs() -> None:
    scheduler = decoding(2)
    assert scheduler.release_idle_rows() == ()
    scheduler.finish(0, 0.0)
    scheduler.finish(1, 0.0)
    scheduler.next_run()
    assert scheduler.release_idle_rows() == [Release(0), Release(1)]
    assert scheduler.release_idle_rows() == []
