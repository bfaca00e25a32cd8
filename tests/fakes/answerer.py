"""An Answerer that says its prompt backwards, word by word, and can be told to fail."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from agent.prompts import Answer, Delta, Prompt
from contract.errors import SeawallError
from contract.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong.

    Args:
        refusal: raised instead of the first word.
        late_refusal: raised after the first word.
        bug: raised after the first word, as an error that nobody foresaw.
        silent: ends without an Answer.
    """

    refusal: SeawallError | None = None
    late_refusal: SeawallError | None = None
    bug: Exception | None = None
    silent: bool = False


class FakeAnswerer:
    """Answers `a b c` with `c b a`.

    Args:
        seconds_a_word: how long each word takes; 0 does not even yield.
        faults: what goes wrong, until replaced.

    Where `better_until` is set, each answer says so. Where a `gate` is set, no answer begins before it opens; where a `pause` is set, none
    goes on behind the first word before it ends.
    """

    def __init__(self, seconds_a_word: float = 0, faults: Faults | None = None) -> None:
        self.seconds_a_word = seconds_a_word
        self.faults = faults or Faults()
        self.prompts: list[Prompt] = []
        self.cancelled: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.pause: asyncio.Event | None = None
        self.better_until: datetime | None = None

    async def answer(self, prompt: Prompt) -> AsyncGenerator[Delta | Answer, None]:
        """Answers, and keeps book."""
        self.prompts.append(prompt)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
            async for piece in self._pieces(prompt):
                yield piece
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(prompt.prompt_id)
            raise
        finally:
            self.at_once -= 1
            self.ended.set()

    async def _pieces(self, prompt: Prompt) -> AsyncGenerator[Delta | Answer, None]:
        if self.faults.refusal:
            raise self.faults.refusal
        text = backwards(prompt.messages[-1].content)
        for number, word in enumerate(text.split(" ")):
            if self.seconds_a_word:
                await asyncio.sleep(self.seconds_a_word)
            yield Delta(word if number == 0 else f" {word}")
            for fault in (self.faults.late_refusal, self.faults.bug):
                if fault:
                    raise fault
            if self.pause is not None:
                await self.pause.wait()
        if not self.faults.silent:
            words = len(text.split(" "))
            yield Answer(text, "stop", words, words, receipt(prompt.prompt_id), self.better_until)


def backwards(text: str) -> str:
    """Returns the words of a text, last first."""
    return " ".join(reversed(text.split(" ")))


def receipt(prompt_id: str) -> Receipt:
    """Returns a receipt for a local answer."""
    return Receipt(
        receipt_id=f"receipt-{prompt_id}",
        prompt_id=prompt_id,
        create_time="2026-11-21T12:00:00Z",
        route="local",
        reasons=("confident",),
        data_class="public",
        data_kinds=(),
        confidence=0.75,
        provisional=False,
        model="fake 1",
        model_digest="sha256:" + "0" * 64,
        departure=None,
        milliseconds=1.5,
    )
