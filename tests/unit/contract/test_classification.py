"""From what was found to a class."""

import pytest

from contract.classification import KINDS, Classification, DataClass, class_of, classify, unclassifiable


def test_the_highest_of_what_is_found_is_the_class() -> None:
    assert classify(["PERSON", "API_KEY", "PERSON"]) == Classification(DataClass.RESTRICTED, ("API_KEY", "PERSON"), ("data-found",))
    assert classify(["ORGANIZATION", "EMAIL_ADDRESS"]).data_class is DataClass.CONFIDENTIAL
    assert classify(["ORGANIZATION"]).data_class is DataClass.INTERNAL


def test_what_says_nothing_of_anybody_by_itself_leaves_a_text_public() -> None:
    assert classify(["LOCATION", "DATE_TIME"]) == Classification(DataClass.PUBLIC, (), ("nothing-found",))
    assert classify(["LOCATION", "PERSON"]).kinds == ("PERSON",)


@pytest.mark.parametrize("floor", DataClass)
def test_where_nothing_is_found_the_floor_holds(floor: DataClass) -> None:
    found = classify([], floor)
    assert (found.data_class, found.kinds) == (floor, ())
    assert found.reasons == (("nothing-found",) if floor is DataClass.PUBLIC else ("floor",))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("floor", DataClass)
def test_a_class_only_rises(kind: str, floor: DataClass) -> None:
    assert classify([kind], floor).data_class == max(KINDS[kind], floor)
    assert classify([kind, "PASSWORD"], floor).data_class is DataClass.RESTRICTED
    assert classify([kind], DataClass.PUBLIC, floor).data_class == classify([kind], floor, DataClass.PUBLIC).data_class


def test_a_floor_that_raises_is_named_beside_what_was_found() -> None:
    assert classify(["PERSON"], DataClass.RESTRICTED).reasons == ("data-found", "floor")
    assert classify(["PERSON"], DataClass.INTERNAL).reasons == ("data-found",)


def test_a_kind_that_nobody_knows_means_restricted() -> None:
    assert class_of("NEW") is DataClass.RESTRICTED
    assert classify(["NEW"]).data_class is DataClass.RESTRICTED


@pytest.mark.parametrize("kind", ["API_KEY", "PASSWORD", "CREDIT_CARD", "US_SSN", "IBAN_CODE", "EMAIL_ADDRESS", "PHONE_NUMBER"])
def test_what_was_kept_from_leaving_before_is_more_than_public(kind: str) -> None:
    assert class_of(kind) >= DataClass.CONFIDENTIAL


def test_what_could_not_be_looked_at_is_restricted() -> None:
    assert unclassifiable().data_class is DataClass.RESTRICTED


def test_classes_have_an_order_and_the_names_that_policies_use() -> None:
    assert [str(item) for item in sorted(DataClass)] == ["public", "internal", "confidential", "restricted"]
