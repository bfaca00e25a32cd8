"""The classifier without its network: patterns alone, which tests about other things need."""

from collections.abc import Sequence

from agent.classify import Classifier
from agent.detection.contact import Finder
from agent.detection.detector import PHONE_REGIONS, pattern_finders
from agent.detection.memory import Memory
from agent.detection.opening import Detector
from contract.classification import DataClass
from contract.recognizers import SiteRecognizers

KEY = bytes(32)


def classifier(
    *finders: Finder,
    floor: DataClass = DataClass.PUBLIC,
    phone_regions: Sequence[str] = PHONE_REGIONS,
    site: SiteRecognizers = SiteRecognizers(),  # noqa: B008 - frozen
) -> Classifier:
    """Returns a classifier.

    Args:
        finders: what looks for data; default: every pattern.
        floor: the least class.
        phone_regions: see agent.detection.contact.phone_finder.
        site: what the site asks for.
    """
    used = finders or pattern_finders(phone_regions, site)
    return Classifier(Detector(used, used), Memory(KEY), floor)
