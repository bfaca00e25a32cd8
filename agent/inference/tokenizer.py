"""Messages to token ids, and token ids to text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from agent.inference.chat_template import ChatTemplate
from agent.prompts import Message
from contract.errors import InvalidRequest, PromptTooLong, Reason

NONCHARACTERS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))
"""Code points that Unicode keeps for internal use (The Unicode Standard, section 23.7)."""


class ChatTokenizer:
    """Encodes conversations so that only the template makes special tokens; what a user writes never becomes one.

    Args:
        tokenizer_file: in the format of the tokenizers library; it adds no tokens by itself.
        chat_template: Jinja text.

    Raises:
        InvalidRequest: BUNDLE_INVALID.
    """

    def __init__(self, tokenizer_file: Path, chat_template: str) -> None:
        self._tokenizer = _read(tokenizer_file)
        self._tokenizer.encode_special_tokens = True
        self._template = ChatTemplate(chat_template)
        added = self._tokenizer.get_added_tokens_decoder()
        self._special_ids: Mapping[str, int] = {token.content: token_id for token_id, token in added.items() if token.special}
        longest_first = sorted(self._special_ids, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._longest_token = max(map(len, self._tokenizer.get_vocab()))

    def encode(self, messages: Sequence[Message], limit_tokens: int) -> list[int]:
        """Renders and encodes a conversation. Releases the interpreter's lock for most of its time.

        Args:
            messages: oldest first.
            limit_tokens: that may come out.

        Raises:
            PromptTooLong: PROMPT_TOO_LONG.
            InvalidRequest: the template refuses the messages, or fails.
        """
        characters = sum(len(message.content) for message in messages)
        if characters > limit_tokens * self._longest_token:
            raise prompt_too_long(f"more than {characters // self._longest_token}", limit_tokens)
        token_ids = list(self._encode(messages))
        if len(token_ids) > limit_tokens:
            raise prompt_too_long(str(len(token_ids)), limit_tokens)
        return token_ids

    def encode_text(self, text: str) -> list[int]:
        """Encodes a text as it stands, without a conversation around it."""
        return list(self._tokenizer.encode_batch_fast([text])[0].ids)

    def count(self, messages: Sequence[Message]) -> int:
        """Returns how many tokens a conversation has, however long."""
        return sum(1 for _ in self._encode(messages))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Returns the text of tokens, without special ones; an incomplete character at the end is U+FFFD."""
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))

    def _encode(self, messages: Sequence[Message]) -> Iterator[int]:
        mark = _unused(messages)
        rendered = self._template.render([{"role": message.role, "content": self._marked(message.content, mark)} for message in messages])
        position = 0
        for special in self._special.finditer(rendered):
            yield from self._plain(rendered[position : special.start()], mark)
            yield self._special_ids[special.group()]
            position = special.end()
        yield from self._plain(rendered[position:], mark)

    def _plain(self, text: str, mark: str) -> list[int]:
        # Of the ways to encode, only the batch releases the interpreter's lock.
        return list(self._tokenizer.encode_batch_fast([text.replace(mark, "")])[0].ids)

    def _marked(self, content: str, mark: str) -> str:
        """Breaks every special token in a user's text, so that the renderer's output holds only the template's own.

        The last mark keeps a text's end from making a token with what follows it; behind it stays the white space that templates trim.
        """
        broken = self._special.sub(lambda found: found.group()[0] + mark + found.group()[1:], content)
        end = len(broken.rstrip())
        return broken[:end] + mark + broken[end:]


def prompt_too_long(count: str, limit_tokens: int) -> PromptTooLong:
    """Returns the error that names both numbers."""
    return PromptTooLong(
        Reason.PROMPT_TOO_LONG,
        f"The prompt has {count} tokens, with its history; this model takes {limit_tokens}. Shorten it, or begin a new conversation.",
    )


def _read(tokenizer_file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the library raises the bare class, for every kind of failure
        raise InvalidRequest(Reason.BUNDLE_INVALID, f"{tokenizer_file.name} cannot be read. Fetch the bundle anew.") from error


def _unused(messages: Sequence[Message]) -> str:
    """Returns a noncharacter that no message holds."""
    for mark in NONCHARACTERS:
        if not any(mark in message.content for message in messages):
            return mark
    raise InvalidRequest(Reason.PROMPT_INVALID, "The prompt holds every one of Unicode's noncharacters. Take one out.")
