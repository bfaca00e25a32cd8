"""Loads the detector, or says why it cannot be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.detection.contact import Finder
from agent.detection.detector import pattern_finders, shipped_finders
from agent.detection.tagger import Tagger
from contract.errors import SeawallError
from contract.recognizers import SiteRecognizers


@dataclass(frozen=True, slots=True)
class Detector:
    """What looks for data, loaded once.

    Args:
        finders: all of them.
        seam_finders: those whose findings may begin in one turn and end in the next.
        problem: why it cannot be used, with what to do; empty where it can. Then every prompt is restricted.
    """

    finders: tuple[Finder, ...]
    seam_finders: tuple[Finder, ...] = ()
    problem: str = ""


def open_detector(phone_regions: Sequence[str], site: SiteRecognizers, load: Callable[[], Tagger] = Tagger) -> Detector:
    """Loads the detector. Never raises: one that cannot be loaded says so in its `problem`.

    Args:
        phone_regions: see agent.detection.contact.phone_finder.
        site: what the site asks for.
        load: loads the tagger.
    """
    try:
        tagger = load()
    except SeawallError as error:
        return Detector((), problem=error.message)
    except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime says of a file that it cannot read
        return Detector(
            (), problem=f"The detector cannot be loaded ({type(error).__name__}): every prompt is restricted. Install seawall-agent anew."
        )
    return Detector(shipped_finders(tagger, phone_regions, site), pattern_finders(phone_regions, site))
