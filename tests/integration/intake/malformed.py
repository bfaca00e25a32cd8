"""Texts that are almost what is asked for, or nothing like it."""

import json
import random
from collections.abc import Callable
from typing import Any

_VALID: dict[str, Any] = {"prompt": "one two", "stream": False, "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "conversation": "c"}
_CHAT: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 5, "temperature": 0.5}

_ODD: list[Any] = [None, True, -1, 1.5, 10**30, 1e308, "", "\0", "\ud800", "é" * 300, [], {}, [[]], {"a": {}}, [None] * 50, "NaN"]


def prompts(rejected: Callable[[bytes], bool], seed: int, count: int) -> list[bytes]:
    """Returns broken MQTT prompts.

    Args:
        rejected: says whether a text is broken; the few that are not are left out.
        seed: the same seed gives the same texts.
        count: how many.
    """
    return _texts(_VALID, rejected, random.Random(seed), count)


def chats(rejected: Callable[[bytes], bool], seed: int, count: int) -> list[bytes]:
    """Returns broken bodies of chat requests; arguments as for `prompts`."""
    return _texts(_CHAT, rejected, random.Random(seed), count)


def _texts(valid: dict[str, Any], rejected: Callable[[bytes], bool], chance: random.Random, count: int) -> list[bytes]:
    texts: list[bytes] = []
    while len(texts) < count:
        text = _text(valid, chance)
        if rejected(text):
            texts.append(text)
    return texts


def _text(valid: dict[str, Any], chance: random.Random) -> bytes:
    kind = chance.randrange(6)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    if kind == 1:
        return b'{"prompt":' + chance.choice([b"[", b'{"a":']) * chance.randrange(1, 5000)
    if kind == 2:
        return b"x" * chance.choice([1_048_577, 1_500_000]) if chance.random() < 0.05 else b'{"prompt":"' + b"9" * 10_000
    if kind == 3:
        return json.dumps({**valid, chance.choice(["promt", "Prompt", "x", "\0", "\ud83d"]): chance.choice(_ODD)}).encode()
    if kind == 4:
        return json.dumps({**valid, chance.choice(list(valid)): chance.choice(_ODD)}).encode()
    whole = bytearray(json.dumps(valid).encode())
    for _ in range(chance.randrange(1, 4)):
        whole[chance.randrange(len(whole))] = chance.randrange(256)
    return bytes(whole[: chance.randrange(1, len(whole) + 1)])
