"""What several finders say of one place is put together."""

from collections.abc import Iterator

from agent.detection.contact import Finder
from agent.detection.detector import find_all, places
from contract.classification import Finding


def saying(*findings: Finding) -> Finder:
    def find(_: str) -> Iterator[Finding]:
        return iter(findings)

    return find


CARD, ACCOUNT = Finding(0, 16, "CREDIT_CARD"), Finding(0, 16, "ACCOUNT_NUMBER")
TEXT = "4111111111111111 and more of it"


def test_a_number_whose_form_is_known_is_no_account() -> None:
    assert find_all(TEXT, [saying(ACCOUNT), saying(CARD)]) == (CARD,)
    assert find_all(TEXT, [saying(ACCOUNT)]) == (ACCOUNT,)


def test_what_overlaps_is_one_place_of_the_highest_class() -> None:
    name, key = Finding(0, 5, "PERSON"), Finding(3, 9, "API_KEY")
    assert places(TEXT, (name, key)) == (Finding(0, 9, "API_KEY"),)


def test_neighbours_of_one_kind_are_one_place_unless_a_line_ends_between() -> None:
    pair = (Finding(0, 3, "PERSON"), Finding(5, 8, "PERSON"))
    assert places("Ana, Bob", pair) == (Finding(0, 8, "PERSON"),)
    assert places("Ana\n\nBob", pair) == pair
