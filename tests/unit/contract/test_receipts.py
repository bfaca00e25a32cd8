"""Receipts as plain values."""

import json
from dataclasses import replace

from contract.receipts import Departure
from tests.fakes.answerer import receipt


def test_a_receipt_is_plain_json_with_all_its_fields() -> None:
    sent = replace(receipt("p1"), departure=Departure(2, 40, "cloud", "public", "eu"), data_kinds=("API_KEY", "US_SSN"))
    read = json.loads(json.dumps(sent.to_dict()))
    assert read["departure"] == {"messages": 2, "characters": 40, "provider": "cloud", "tier": "public", "region": "eu", "redacted": None}
    assert read["data_kinds"] == ["API_KEY", "US_SSN"]
    assert set(read) == set(sent.__slots__)


def test_what_was_tried_in_vain_names_no_provider() -> None:
    assert Departure(1, 5) == Departure(1, 5, "", "", "")
