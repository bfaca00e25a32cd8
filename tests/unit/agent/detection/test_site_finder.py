"""A site's own names, denied words and patterns are found."""

from agent.detection.site import site_finder
from contract.classification import Finding
from contract.recognizers import SitePattern, SiteRecognizers

FIND = site_finder(
    SiteRecognizers(
        names=("Project Halibut", "Åse Brandt"), denied=("black formula",), patterns=(SitePattern(r"\bWO-\d{6}\b", "ACCOUNT_NUMBER"),)
    )
)


def found(text: str) -> list[Finding]:
    return list(FIND(text))


def test_a_name_is_found_whatever_its_capitals_and_gaps() -> None:
    assert found("is project  HALIBUT late?") == [Finding(3, 19, "SITE_NAME")]
    assert found("Ase Brandt") == [Finding(0, 10, "SITE_NAME")]


def test_a_part_of_a_name_or_of_a_word_is_not_it() -> None:
    assert found("A halibut project; Project Halibuts") == []


def test_denied_words_and_patterns_have_kinds_of_their_own() -> None:
    assert [finding.kind for finding in found("the Black Formula of WO-123456, not WO-1234567")] == ["DENIED", "ACCOUNT_NUMBER"]


def test_where_a_site_asks_for_nothing_nothing_is_found() -> None:
    assert list(site_finder(SiteRecognizers())("Project Halibut")) == []
