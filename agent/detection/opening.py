"""Loads the detector, or says why it cannot be."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.detection.contact import Finder
from agent.detection.detector import pattern_finders, shipped_finders
from agent.detection.tagger import Tagger
from contract.errors import SeawallError
from contract.recognizers import SiteRecognizers, read_recognizers


@dataclass(frozen=True, slots=True)
class Detector:
    """What looks for data, loaded once.

    Args:
        finders: all of them.
        seam_finders: those whose findings may begin in one turn and end in the next.
        problem: why it cannot be used, with what to do; empty where it can. Then every prompt is restricted.
        scope: another one wherever the finders are others, so that what was found by those is not remembered for these.
    """

    finders: tuple[Finder, ...]
    seam_finders: tuple[Finder, ...] = ()
    problem: str = ""
    scope: bytes = b""


def open_detector(phone_regions: Sequence[str], recognizers: bytes | None = None, load: Callable[[], Tagger] = Tagger) -> Detector:
    """Loads the detector. Never raises: one that cannot be loaded says so in its `problem`.

    Args:
        phone_regions: see agent.detection.contact.phone_finder.
        recognizers: what the site asks for, as it was signed; None: nothing.
        load: loads the tagger.
    """
    try:
        tagger, site = load(), SiteRecognizers() if recognizers is None else read_recognizers(recognizers)
    except SeawallError as error:
        return Detector((), problem=error.message)
    except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime says of a file that it cannot read
        return Detector(
            (), problem=f"The detector cannot be loaded ({type(error).__name__}): every prompt is restricted. Install seawall-agent anew."
        )
    scope = b"" if recognizers is None else hashlib.sha256(recognizers).digest()
    return Detector(shipped_finders(tagger, phone_regions, site), pattern_finders(phone_regions, site), scope=scope)
