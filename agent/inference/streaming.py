"""Tokens to text, piece by piece: whole characters only, and nothing of a stop sequence."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class StreamDecoder:
    """Decodes tokens as they come. All pieces joined are the text of all tokens decoded at once.

    A token can end inside a character, and some tokenizers treat a text's first token differently; so each step decodes the tokens
    since the last clean boundary but one, and what is new is the difference (the method of Hugging Face's text-generation-inference).

    Args:
        decode: turns tokens into text; an incomplete character becomes U+FFFD.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._read = 0
        self._known = ""

    def push(self, token: int) -> str:
        """Takes one token; returns the text that is certain now."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        if text.endswith(REPLACEMENT):
            return ""
        new = text[len(self._known) :]
        del self._tokens[: self._read]
        self._read = len(self._tokens)
        self._known = self._decode(self._tokens)
        return new

    def finish(self) -> str:
        """Returns what was held back at the end of the answer."""
        return self._decode(self._tokens)[len(self._known) :]


class StopFilter:
    """Holds text back while it may become a stop sequence.

    Args:
        sequences: the text ends before the first of them; empty ones are ignored.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Takes a piece of text; returns what may be shown of all so far, and whether a stop sequence has been met."""
        self._held += text
        found = [at for sequence in self._sequences if (at := self._held.find(sequence)) >= 0]
        if found:
            shown, self._held = self._held[: min(found)], ""
            return shown, True
        keep = max((_overlap(self._held, sequence) for sequence in self._sequences), default=0)
        split = len(self._held) - keep
        shown, self._held = self._held[:split], self._held[split:]
        return shown, False

    def finish(self) -> str:
        """Returns what was held back at the end of the answer."""
        shown, self._held = self._held, ""
        return shown


def _overlap(text: str, sequence: str) -> int:
    """Returns the length of the longest end of `text` with which `sequence` begins."""
    for length in range(min(len(text), len(sequence) - 1), 0, -1):
        if text.endswith(sequence[:length]):
            return length
    return 0
