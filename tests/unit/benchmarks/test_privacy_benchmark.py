"""The detector's benchmark counts what it says it counts."""

import json
import random
from pathlib import Path

from benchmarks.privacy import Score, compare
from benchmarks.privacy_sets import Text, own_texts, read_texts, secrets

NAMED = Text("Ana of Riga", ((0, 3, "PERSON"), (7, 11, "LOCATION")))
CLEAN = Text("a pump", ())


def score(*found: tuple[Text, list[tuple[int, int]]]) -> dict[str, float]:
    result = Score()
    for text, places in found:
        result.add(text, places, 0.001)
    return result.figures()


def test_a_document_leaks_where_one_character_of_a_span_shows() -> None:
    assert score((NAMED, [(0, 3), (7, 11)]))["documents_leaking"] == 0
    figures = score((NAMED, [(0, 3), (7, 10)]), (CLEAN, []))
    assert (figures["documents_leaking"], figures["spans_covered"]) == (0.5, 0.5)


def test_two_places_may_cover_a_span_together() -> None:
    assert score((NAMED, [(0, 2), (2, 3), (7, 11)]))["spans_covered"] == 1


def test_what_is_nobodys_and_goes_is_counted_by_character() -> None:
    figures = score((NAMED, [(0, 6)]), (CLEAN, [(2, 6)]))
    assert figures["clean_flagged"] == 1
    assert figures["innocent_characters_redacted"] == round((3 + 4) / (4 + 6), 4)


def test_everybody_looks_at_every_text_and_takes_turns_in_being_first() -> None:
    order: list[str] = []

    def finder(name: str) -> list[tuple[int, int]]:
        order.append(name)
        return []

    scores = compare([CLEAN, NAMED], [lambda _: finder("one"), lambda _: finder("two")])
    assert order == ["one", "two", "two", "one"]
    assert [score.documents for score in scores] == [2, 2]


def test_the_marks_are_taken_out_of_its_own_texts() -> None:
    texts = own_texts()
    assert sum(not text.spans for text in texts) >= 15
    for text in texts:
        assert not set("[|]") & set(text.text) or text.text.startswith("for item")
        assert all(text.text[start:end].strip() == text.text[start:end] != "" for start, end, _ in text.spans)


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": NAMED.text, "spans": NAMED.spans}) + "\n")
    assert read_texts(tmp_path / "rows.jsonl") == [NAMED]


def test_every_made_up_secret_is_in_its_text_and_the_seed_decides() -> None:
    made = list(secrets(random.Random(1), 60))
    assert made == list(secrets(random.Random(1), 60))
    assert len({text.text for text in made}) == 60
    assert [kind for text in made for _, _, kind in text.spans] == ["API_KEY", "PASSWORD"] * 30
    assert all(len(text.text[start:end]) >= 5 for text in made for start, end, _ in text.spans)
