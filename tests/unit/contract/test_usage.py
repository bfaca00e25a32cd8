"""What a device reports of its use: counts of closed sets, and nothing else of an answer."""

from dataclasses import replace

import pytest

from contract.receipts import Departure, Receipt
from contract.usage import CELLS, MOST_CELLS_OF_ANSWER, named, norm, schema_digest, tally

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
LEFT = replace(RECEIPT, departure=Departure(1, 20, "azure", "private", "eu"))


def counted(receipt: Receipt) -> set[str]:
    return {cell for cell, count in named(tally([receipt], 1)).items() if count}


def test_an_answer_is_counted_once_in_each_cell_that_it_falls_into() -> None:
    assert counted(RECEIPT) == {"route.escalated", "class.public", "provisional", "confidence.4", "milliseconds.200"}
    assert counted(LEFT) == counted(RECEIPT) | {"left.private"}
    assert counted(replace(RECEIPT, provisional=False, confidence=None)) == {"route.escalated", "class.public", "milliseconds.200"}
    assert sum(tally([LEFT] * 3, 10)) == 3 * MOST_CELLS_OF_ANSWER


def test_no_word_of_a_receipt_changes_what_is_counted() -> None:
    words = replace(
        LEFT, receipt_id="secret", prompt_id="secret", reasons=("secret",), data_kinds=("secret",), model="secret", model_digest="secret"
    )
    assert tally([words], 1) == tally([LEFT], 1)
    elsewhere = replace(LEFT, departure=Departure(9, 999, "secret", "private", "secret"))
    assert tally([elsewhere], 1) == tally([LEFT], 1)


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
    counts = tally([LEFT] * (2 * most), most)
    assert max(counts) == most
    square = sum(count * count for count in counts)
    assert (norm(most) - 1) ** 2 < square <= norm(most) ** 2


def test_cells_have_names_of_their_own_and_a_digest_that_pins_them() -> None:
    assert len(set(CELLS)) == len(CELLS)
    assert schema_digest().hex() == "6632b7916fcefe34fc50e280325ec982637dc64db82c2ed880cfcb859b13fefa"


def test_an_empty_window_is_all_zeros() -> None:
    assert tally([], 100) == [0] * len(CELLS)
