"""Whatever comes, there is a Prompt or a refusal that can be sent."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.intake import chat, payloads, strict_json, topics
from agent.intake.chat import read_chat
from agent.prompts import Answer, Prompt
from contract.errors import InvalidRequest, NotFound, SeawallError
from tests.fakes.answerer import receipt

NOW = datetime(2026, 11, 21, tzinfo=UTC)

TEXT = st.text(st.characters(codec="utf-8"))
ANY_TEXT = st.text()  # lone surrogates as well
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4), max_leaves=12)
NAMES = st.sampled_from(
    [
        "id",
        "prompt",
        "messages",
        "conversation",
        "stream",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
        "model",
        "n",
        "tools",
    ]
)
PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT
SETTINGS = settings(deadline=None, derandomize=True, max_examples=100)

OBJECTS = st.dictionaries(NAMES | ANY_TEXT, VALUES, max_size=6)


def told(error: SeawallError) -> None:
    problem = json.loads(payloads.write_problem(error, None))
    assert problem["reason"] == error.reason
    assert problem["detail"].isascii()
    json.dumps(chat.write_error(error)).encode()


@SETTINGS
@given(st.binary(max_size=300))
@example(b"\xef\xbb\xbf{}")
@example(b"[" * 5000)
@example(b'{"prompt":' + b"-" * 5000)
def test_any_bytes_are_a_prompt_or_a_refusal(payload: bytes) -> None:
    try:
        prompt = payloads.read_prompt(payload, "device", "made-up", NOW)
    except InvalidRequest as error:
        told(error)
    else:
        assert isinstance(prompt, Prompt)
    payloads.read_id(payload)


@SETTINGS
@given(OBJECTS)
@example({"id": "\0", "prompt": "x"})
@example({"seed": 10**400, "prompt": "x"})
@example({"\ud800": 1})
def test_any_json_object_is_a_prompt_or_a_refusal(content: dict[str, Any]) -> None:
    payload = json.dumps(content).encode()
    try:
        prompt = payloads.read_prompt(payload, "device", "made-up", NOW)
    except InvalidRequest as error:
        told(error)
    else:
        assert prompt.messages[-1].content.strip()
        assert prompt.prompt_id.isprintable()
        prompt.messages[-1].content.encode()


@SETTINGS
@given(OBJECTS, st.booleans())
def test_any_json_object_is_a_chat_or_a_refusal(content: dict[str, Any], right_model: bool) -> None:
    if right_model:
        content = {**content, "model": "m", "messages": [{"role": "user", "content": "x"}]}
    try:
        read = read_chat(json.dumps(content).encode(), "m")
    except (InvalidRequest, NotFound) as error:
        told(error)
    else:
        assert read.messages[-1].role == "user"


@SETTINGS
@given(st.dictionaries(TEXT, st.recursive(PLAIN, st.lists, max_leaves=5), max_size=4))
def test_good_json_is_read_as_by_everybody(content: dict[str, Any]) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(content, ensure_ascii=ensure_ascii).encode()
        assert strict_json.read(text) == json.loads(text)


@SETTINGS
@given(TEXT.filter(lambda text: text.strip()), st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True), st.booleans())
def test_what_a_client_writes_is_what_the_answerer_reads(text: str, prompt_id: str, stream: bool) -> None:
    payload = json.dumps({"id": prompt_id, "prompt": text, "stream": stream}).encode()
    prompt = payloads.read_prompt(payload, "device", "made-up", NOW)
    assert (prompt.messages[0].content, prompt.prompt_id, prompt.stream) == (text, prompt_id, stream)
    assert payloads.read_id(payload) == prompt_id


@SETTINGS
@given(TEXT, TEXT, st.integers(0, 10**6))
def test_what_is_written_can_be_read(prompt_id: str, text: str, index: int) -> None:
    answer = json.loads(payloads.write_answer(prompt_id, Answer(text, "stop", 1, 2, receipt(prompt_id))))
    assert (answer["id"], answer["answer"]) == (prompt_id, text)
    assert json.loads(payloads.write_chunk(prompt_id, index, text)) == {"id": prompt_id, "index": index, "delta": text}


@SETTINGS
@given(ANY_TEXT)
def test_an_answer_never_leaves_its_clients_prefix(response_topic: str) -> None:
    client = topics.ClientTopics("a1", "device")
    for wanted in (response_topic, client.prefix + response_topic):
        try:
            topic = client.reply_topic(wanted)
        except InvalidRequest as error:
            told(error)
        else:
            assert topic.startswith("seawall/v1/agents/a1/clients/device/")
            assert not {"+", "#", "\0"} & set(topic)
            assert topic != client.prefix + "prompts"
