"""Step 1: what data is in a prompt. Structured data only: what a pattern and a checksum can tell.

Names, addresses and other free text are not found here; a site that handles them sets a floor in its configuration.
"""

import re
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import structlog

from agent.detectors import find_cards, find_emails, find_ibans, find_secrets, find_ssns, phone_finder
from agent.prompts import Message
from contract.classification import Classification, DataClass, classify, unclassifiable

_log = structlog.get_logger(__name__)

LONGEST_CHARACTERS = 100_000
"""A longer text is not looked through: it stays. The slowest finder, that of phone numbers, takes up to 0.1 ms a character."""

_UNUSUAL = re.compile(r"[^\t\n\r -~]")


class Classifier:
    """Classifies prompts.

    Args:
        floor: the least class on this site.
        phone_regions: see phone_finder.
        finders: what looks for data; default: all of agent.detectors.
    """

    def __init__(
        self,
        floor: DataClass = DataClass.PUBLIC,
        phone_regions: Sequence[str] = ("US", "GB", "DE"),
        finders: Iterable[Callable[[str], Iterable[str]]] | None = None,
    ) -> None:
        self._floor = floor
        shipped = (find_cards, find_ibans, find_secrets, find_emails, find_ssns, phone_finder(phone_regions))
        self._finders = shipped if finders is None else tuple(finders)

    def classify(self, messages: Sequence[Message]) -> Classification:
        """Classifies a conversation by all that was said in it. Never raises: a detector that fails means restricted."""
        try:
            text = "\n".join(message.content for message in messages)
            if len(text) > LONGEST_CHARACTERS:
                return unclassifiable()
            readings = {plain(text), plain(text, hidden=" ")}
            return classify((kind for reading in readings for find in self._finders for kind in find(reading)), self._floor)
        except Exception as error:  # noqa: BLE001 - whatever breaks in a detector, the prompt stays on the device
            frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            _log.error("classifier failed", error=type(error).__name__, frames=frames)  # without its words: they may quote the prompt
            return unclassifiable()


def plain(text: str, hidden: str = "") -> str:
    """Returns the text as a reader sees it: letters and digits without width, style or accents, dashes as `-`.

    Args:
        text: any.
        hidden: what stands for an invisible character: nothing where it was put into a word, a space where it parts two.
    """
    if not _UNUSUAL.search(text):
        return text
    return "".join(_plain(character, hidden) for character in unicodedata.normalize("NFKD", text))


def _plain(character: str, hidden: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if category in ("Mn", "Me"):
        return ""
    if category in ("Cf", "Cs") or (category == "Cc" and not character.isspace()):
        return hidden
    return character
