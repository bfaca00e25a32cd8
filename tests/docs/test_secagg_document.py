"""Every obligation of docs/secure-aggregation.md names a test, and each of these exists once."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "secure-aggregation.md").read_text()


def rows() -> list[str]:
    section = DOCUMENT.split("## What has to hold", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def written() -> Counter[str]:
    found = Counter[str]()
    for file in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(), re.MULTILINE))
    return found


def test_every_obligation_names_a_test_that_exists_once() -> None:
    tests = written()
    assert len(rows()) > 20
    for row in rows():
        named = re.findall(r"`(test_\w+)`", row.split("|")[2])
        assert named, row
        for name in named:
            assert tests[name] == 1, name


def test_every_link_of_the_document_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", DOCUMENT):
        assert (ROOT / "docs" / link).exists(), link
