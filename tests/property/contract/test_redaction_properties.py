"""What holds for every conversation: nothing found leaves, everything comes back, and no cut of the stream changes a letter."""

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.classification import Finding
from contract.redaction import LEAST_CHARACTERS, Redacted, RedactionFailed, Vault, normal, redact
from contract.restoring import Restorer, restore

KINDS = ("PERSON", "EMAIL_ADDRESS", "ADDRESS", "API_KEY")
WORDS = st.sampled_from(
    [
        "Ada",
        "ada",
        "ADA",
        "Lovelace",
        "Byron",
        "Lord Byron",
        "the",
        "to",
        "a",
        "<",
        ">",
        "&lt;",
        "\\",
        "_",
        "PERSON",
        "PERSON_3",
        "<ADDRESS_4>",
        "37",
        "'s",
        "**",
        "\n",
        "Straße",
        "STRASSE",
        "ﬁne",
        "x" * 30,
        "12 Main St",
        "sk-live-abc",
        "é",
        "İ",
    ]
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", "", ", "])), max_size=14).map(lambda parts: "".join(a + b for a, b in parts))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[str], list[list[Finding]]]:
    texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
    findings = []
    for text in texts:
        spans = draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, 12), st.sampled_from(KINDS)), max_size=4))
        findings.append([Finding(start, min(len(text), start + length), kind) for start, length, kind in spans])
    return texts, findings


def redacted(texts: Sequence[str], findings: Sequence[Sequence[Finding]], data: st.DataObject, known: Vault = Vault()) -> Redacted | None:  # noqa: B008  # frozen
    randomness = data.draw(st.randoms(use_true_random=False))
    try:
        return redact(texts, findings, known, randomness.randrange)
    except RedactionFailed:
        return None


@given(conversations(), st.data())
@settings(max_examples=300, deadline=None)
def test_restoring_what_was_redacted_gives_what_was_written(
    conversation: tuple[list[str], list[list[Finding]]], data: st.DataObject
) -> None:
    texts, findings = conversation
    result = redacted(texts, findings, data)
    if result is not None and not any("person_" in text.lower() or "address_" in text.lower() for text in texts):
        assert [restore(text, result.sent, result.literal) for text in result.texts] == texts


@given(conversations(), st.data())
@settings(max_examples=300, deadline=None)
def test_no_value_that_was_found_is_left_as_a_word(conversation: tuple[list[str], list[list[Finding]]], data: st.DataObject) -> None:
    texts, findings = conversation
    result = redacted(texts, findings, data)
    if result is None:
        return
    values = {text[span.start : span.end].strip() for text, spans in zip(texts, findings, strict=True) for span in spans}
    for text in result.texts:
        kept = normal(re.sub(r"<[A-Z_]+_\d+[a-z]?>", "\N{OBJECT REPLACEMENT CHARACTER}", text))
        for value in values:
            if len(value) >= LEAST_CHARACTERS:
                assert not re.search(rf"(?<!\w){re.escape(normal(value))}(?!\w)", kept)


@given(conversations(), st.data())
@settings(max_examples=200, deadline=None)
def test_later_turns_use_the_names_of_earlier_ones(conversation: tuple[list[str], list[list[Finding]]], data: st.DataObject) -> None:
    texts, findings = conversation
    first = redacted(texts, findings, data)
    if first is None:
        return
    again = redacted(texts, findings, data, Vault.from_json(first.vault.to_json()))
    if again is not None:
        before = {item.value: item.name for item in first.vault.placeholders}
        assert all(before.get(item.value, item.name) == item.name for item in again.vault.placeholders)
        assert len({item.name for item in again.vault.placeholders}) == len(again.vault.placeholders)


PIECES = st.sampled_from(
    [
        "<",
        ">",
        "\\",
        "&lt;",
        "&gt;",
        "&",
        "PERSON",
        "person",
        "EMAIL_ADDRESS",
        "EMAIL\\_ADDRESS",
        "_",
        " ",
        "-",
        "3",
        "37",
        "37b",
        "5",
        "x",
        "'s",
        "**",
        "é",
        "<PERSON_37>",
        "<person 37>",
        "&lt;PERSON\\_37b&gt;",
        "PERSON_37",
        "<EMAIL_ADDRESS_5>",
        "<PERSON_99>",
        "<CARD_1>",
        "E",
        "&l",
        "<P",
    ]
)


@given(st.lists(PIECES, max_size=20).map("".join), st.data())
@settings(max_examples=600, deadline=None)
def test_no_cut_of_the_stream_changes_what_is_restored_or_told(answer: str, data: st.DataObject) -> None:
    texts = ["Ada Lovelace, Ada, ada@example.org"]
    spans = [Finding(0, 12, "PERSON"), Finding(14, 17, "PERSON"), Finding(19, 34, "EMAIL_ADDRESS")]
    numbers = iter([36, 4])
    sent = redact(texts, [spans], Vault(), lambda _: next(numbers)).sent
    whole = Restorer(sent)
    wanted = whole.feed(answer) + whole.end()
    cut = Restorer(sent)
    places = sorted(data.draw(st.sets(st.integers(0, len(answer)), max_size=8)))
    pieces = [answer[start:end] for start, end in zip([0, *places], [*places, len(answer)], strict=True)]
    assert "".join(cut.feed(piece) for piece in pieces) + cut.end() == wanted
    assert cut.invented == whole.invented
    single = Restorer(sent)
    assert "".join(single.feed(character) for character in answer) + single.end() == wanted
