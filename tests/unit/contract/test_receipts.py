"""Receipts as plain values."""

import json
from dataclasses import replace

from contract.receipts import Departure, is_similar
from tests.fakes.answerer import receipt


def test_a_receipt_is_plain_json_with_all_its_fields() -> None:
    sent = replace(receipt("p1"), departure=Departure(2, 40, "cloud", "public", "eu"), data_kinds=("API_KEY", "US_SSN"))
    read = json.loads(json.dumps(sent.to_dict()))
    assert read["departure"] == {"messages": 2, "characters": 40, "provider": "cloud", "tier": "public", "region": "eu", "redacted": None}
    assert read["data_kinds"] == ["API_KEY", "US_SSN"]
    assert set(read) == set(sent.__slots__)


def test_what_was_tried_in_vain_names_no_provider() -> None:
    assert Departure(1, 5) == Departure(1, 5, "", "", "")


def test_the_last_word_of_a_kept_answer_says_whether_it_was_to_another_question() -> None:
    assert is_similar("cache", ("a-policy", "similar"))
    assert is_similar("cache", ("cached", "similar", "a-bad-word"))
    assert not is_similar("cache", ("similar", "cached"))
    assert not is_similar("cache", ())
    assert not is_similar("local", ("similar", "confident"))
