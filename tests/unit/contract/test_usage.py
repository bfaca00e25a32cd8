"""What a device reports of its use: counts of closed sets, and nothing else of an answer."""

from dataclasses import replace

import pytest

from contract.receipts import Departure, Receipt
from contract.usage import CELLS, MOST_CELLS_OF_ANSWER, REFUSALS, Condition, Used, model_bucket, named, norm, tally

RECEIPT = Receipt(
    "r1",
    "p1",
    "2026-11-28T12:00:00.000+00:00",
    "escalated",
    ("public-may-leave",),
    "public",
    ("EMAIL",),
    0.42,
    True,
    "models/a",
    "sha256:0",
    None,
    150.0,
)
LEFT = replace(RECEIPT, departure=Departure(1, 20, "azure", "private", "eu"), input_tokens=40, output_tokens=257)
DIGEST = "sha256:" + "c" * 64
MOST = Used(replace(LEFT, route="cache", reasons=("quota-spent",), model_digest=DIGEST), is_good=False, sketch=(0, 1, 1, 0))
"""One that falls into as many cells as any."""
TOKENS = {"input_tokens.16", "output_tokens.16"}


def counted(receipt: Receipt, is_good: bool | None = None) -> set[str]:
    return {cell for cell, count in named(tally([Used(receipt, is_good)], 1)).items() if count}


def test_an_answer_is_counted_once_in_each_cell_that_it_falls_into() -> None:
    assert counted(RECEIPT) == {"route.escalated", "class.public", "provisional", "confidence.4", "milliseconds.200", *TOKENS}
    assert counted(LEFT) == counted(RECEIPT) - TOKENS | {"left.private", "input_tokens.64", "output_tokens.1024"}
    assert counted(replace(RECEIPT, provisional=False, confidence=None)) == {"route.escalated", "class.public", "milliseconds.200", *TOKENS}
    assert sum(tally([MOST] * 3, 10)) == 3 * MOST_CELLS_OF_ANSWER


def test_what_people_said_is_counted_of_the_cache_and_of_the_model_too() -> None:
    plain = replace(RECEIPT, provisional=False, model_digest=DIGEST)
    assert counted(plain, True) - counted(plain) == {"said.good", "model.12.said.good"}
    assert counted(replace(plain, route="cache"), False) - counted(replace(plain, route="cache")) == {
        "said.bad",
        "cache.said.bad",
        "model.12.said.bad",
    }
    assert "provisional.said.bad" in counted(RECEIPT, False)


def test_what_people_said_of_an_answer_to_a_similar_question_is_not_counted_of_the_model() -> None:
    plain = replace(RECEIPT, route="cache", provisional=False, model_digest=DIGEST)
    to_another, to_the_same = replace(plain, reasons=("similar",)), replace(plain, reasons=("similar", "cached"))
    assert counted(to_another, False) - counted(to_another) == {"said.bad", "cache.said.bad"}
    assert "model.12" in counted(to_another)
    assert "model.12.said.bad" in counted(to_the_same, False)


@pytest.mark.parametrize("reason", REFUSALS)
def test_why_a_better_answer_did_not_come_is_counted(reason: str) -> None:
    assert f"refused.{reason}" in counted(replace(RECEIPT, reasons=("a-policy", reason)))


def test_a_model_is_counted_in_the_bucket_of_its_digest_and_what_is_no_digest_in_none() -> None:
    assert model_bucket(DIGEST) == 12
    for other in ("", "secret", DIGEST + "c", DIGEST.upper(), "c" * 64):
        assert model_bucket(other) is None
    assert "model.12" in counted(replace(RECEIPT, model_digest=DIGEST))


@pytest.mark.parametrize(("celsius", "cell"), [(-5.0, "40"), (40.0, "40"), (40.5, "50"), (99.0, "more")])
def test_how_hot_a_device_is_is_counted_once(celsius: float, cell: str) -> None:
    counts = named(tally([Used(RECEIPT)] * 2, 10, Condition(celsius)))
    assert counts[f"celsius.{cell}"] == 1
    assert sum(count for name, count in counts.items() if name.startswith("celsius.")) == 1


@pytest.mark.parametrize(("watts", "cell"), [(0.0, "2"), (2.5, "5"), (15.0, "15"), (250.0, "more")])
def test_what_a_device_draws_is_counted_once_and_not_at_all_where_nothing_measures_it(watts: float, cell: str) -> None:
    counts = named(tally([Used(RECEIPT)] * 2, 10, Condition(watts=watts)))
    assert {name: count for name, count in counts.items() if name.startswith(("watts.", "celsius.")) and count} == {f"watts.{cell}": 1}


def test_where_a_prompt_lies_is_counted_once_in_each_direction() -> None:
    counts = named(tally([Used(RECEIPT, sketch=(1, 0, 0, 1)), Used(RECEIPT)], 10))
    found = {name for name, count in counts.items() if name.startswith("drift.") and count}
    assert found == {"drift.0.1", "drift.1.0", "drift.2.0", "drift.3.1"}


def test_no_word_of_a_receipt_changes_what_is_counted() -> None:
    words = replace(
        LEFT, receipt_id="secret", prompt_id="secret", reasons=("secret",), data_kinds=("secret",), model="secret", model_digest="secret"
    )
    assert tally([Used(words)], 1) == tally([Used(LEFT)], 1)
    elsewhere = replace(LEFT, departure=Departure(9, 999, "secret", "private", "secret"))
    assert tally([Used(elsewhere)], 1) == tally([Used(LEFT)], 1)


def test_what_has_no_name_here_is_counted_as_other() -> None:
    strange = replace(LEFT, route="secret", data_class="secret", departure=Departure(1, 1, "", "secret", ""))  # type: ignore[arg-type]
    assert {"route.other", "class.other", "left.other"} < counted(strange)


@pytest.mark.parametrize(
    ("milliseconds", "cell"), [(0.0, "10"), (10.0, "10"), (10.1, "20"), (60_000.0, "60000"), (60_001.0, "more"), (float("inf"), "more")]
)
def test_a_time_falls_into_the_range_that_ends_with_it_or_above(milliseconds: float, cell: str) -> None:
    assert f"milliseconds.{cell}" in counted(replace(RECEIPT, milliseconds=milliseconds))


@pytest.mark.parametrize(("confidence", "tenth"), [(-0.5, 0), (0.0, 0), (0.0999, 0), (0.1, 1), (0.95, 9), (1.0, 9), (7.0, 9)])
def test_a_confidence_falls_into_its_tenth(confidence: float, tenth: int) -> None:
    assert f"confidence.{tenth}" in counted(replace(RECEIPT, confidence=confidence))


@pytest.mark.parametrize("most", [1, 3, 100])
def test_no_device_counts_more_than_the_norm_allows(most: int) -> None:
    counts = tally([MOST] * (2 * most), most, Condition(50.0, 5.0))
    assert max(counts) == most
    square = sum(count * count for count in counts)
    assert (norm(most) - 1) ** 2 <= square <= norm(most) ** 2


def test_cells_have_names_of_their_own_and_fit_into_a_vector() -> None:
    assert len(set(CELLS)) == len(CELLS) <= 1024


def test_an_empty_window_is_all_zeros() -> None:
    assert tally([], 100) == [0] * len(CELLS)
