"""From what was found to a class."""

import pytest

from contract.classification import Classification, DataClass, classify, unclassifiable


def test_anything_found_means_restricted_whatever_the_floor() -> None:
    for floor in DataClass:
        assert classify(["US_SSN", "API_KEY", "US_SSN"], floor) == Classification(
            DataClass.RESTRICTED, ("API_KEY", "US_SSN"), ("data-found",)
        )


@pytest.mark.parametrize("floor", DataClass)
def test_where_nothing_is_found_the_floor_holds(floor: DataClass) -> None:
    found = classify([], floor)
    assert (found.data_class, found.kinds) == (floor, ())
    assert found.reasons == (("nothing-found",) if floor is DataClass.PUBLIC else ("floor",))


def test_what_could_not_be_looked_at_is_restricted() -> None:
    assert unclassifiable().data_class is DataClass.RESTRICTED


def test_classes_have_an_order_and_the_names_that_policies_use() -> None:
    assert [str(item) for item in sorted(DataClass)] == ["public", "internal", "confidential", "restricted"]
