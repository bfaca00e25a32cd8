"""Step 1: what data is in a prompt, and where."""

import asyncio
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import structlog

from agent.detection.detector import find_all, places
from agent.detection.memory import Memory
from agent.detection.opening import Detector
from agent.prompts import Message
from contract.classification import Classification, DataClass, Finding, classify, unclassifiable

_log = structlog.get_logger(__name__)

LONGEST_CHARACTERS = 100_000
"""A longer text is not looked through: it stays."""

SEAM_CHARACTERS = 64
"""On both sides of where two turns meet: what was begun in one may end in the next."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in a conversation.

    Args:
        classification: of all of it.
        findings: the places in each message, in order, none overlapping another. Empty where the classifier failed: nothing is known then.
    """

    classification: Classification
    findings: tuple[tuple[Finding, ...], ...] = ()


class Classifier:
    """Classifies prompts, one after the other in a thread of its own, so that no more than one core is taken from the decoder.

    Args:
        detector: what looks for data.
        memory: of what was found before.
        floor: the least class on this site.
    """

    def __init__(self, detector: Detector, memory: Memory, floor: DataClass = DataClass.PUBLIC) -> None:
        self._detector = detector
        self._memory = memory
        self._floor = floor
        self._thread = ThreadPoolExecutor(1, "detector")

    def use(self, detector: Detector) -> None:
        """Looks with another detector, from the next prompt on."""
        self._detector = detector

    @property
    def problem(self) -> str:
        """Why every prompt is restricted; empty where it is not so."""
        return self._detector.problem

    async def look(self, messages: Sequence[Message], *floors: DataClass) -> Looked:
        """See look_now; in the classifier's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.look_now, messages, *floors)

    def look_now(self, messages: Sequence[Message], *floors: DataClass) -> Looked:
        """Finds what is in a conversation. Never raises: a detector that fails means restricted.

        Args:
            messages: all that was said in it.
            floors: the least classes of this prompt besides the site's: its topic's, its key's, its conversation's.
        """
        detector = self._detector
        if detector.problem:
            return Looked(unclassifiable())
        try:
            if sum(len(message.content) + 1 for message in messages) > LONGEST_CHARACTERS + 1:
                return Looked(unclassifiable())
            texts = [message.content for message in messages]
            found = self._found(texts, detector)
            covered = tuple(places(text, findings) for text, findings in zip(texts, found, strict=True))
        except Exception as error:  # noqa: BLE001 - whatever breaks in a detector, the prompt stays on the device
            frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            _log.error("classifier failed", error=type(error).__name__, frames=frames)  # without its words: they may quote the prompt
            return Looked(unclassifiable())
        kinds = (finding.kind for findings in found for finding in findings)
        return Looked(classify(kinds, self._floor, *floors), covered)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _found(self, texts: Sequence[str], detector: Detector) -> list[set[Finding]]:
        found = [set(self._memory.recall(text, partial(find_all, finders=detector.finders), detector.scope)) for text in texts]
        for turn, finding in self._at_seams(texts, detector):
            found[turn].add(finding)
        return found

    def _at_seams(self, texts: Sequence[str], detector: Detector) -> Iterator[tuple[int, Finding]]:
        """Yields what reaches over the end of a turn, each part in the turn that it is in."""
        ends = list(accumulate(len(text) + 1 for text in texts))
        whole = "\n".join(texts)
        for seam in ends[:-1]:
            start = max(0, seam - SEAM_CHARACTERS)
            piece = whole[start : seam + SEAM_CHARACTERS]
            for finding in self._memory.recall(piece, partial(find_all, finders=detector.seam_finders), b"seam" + detector.scope):
                if finding.start + start < seam <= finding.end + start:
                    yield from _split(Finding(finding.start + start, finding.end + start, finding.kind), ends)


def _split(finding: Finding, ends: Sequence[int]) -> Iterator[tuple[int, Finding]]:
    begin = 0
    for turn, end in enumerate(ends):
        start, stop = max(finding.start, begin), min(finding.end, end - 1)
        if start < stop:
            yield turn, Finding(start - begin, stop - begin, finding.kind)
        begin = end
