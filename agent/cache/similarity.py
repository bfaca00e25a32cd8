"""How similar a question must be to one whose answer is given again."""

from dataclasses import dataclass

from contract.calibration.maps import SIMILARITY, Bar, Calibrations

LEAST_SIMILARITY = 0.75
"""Whatever a site or a map says: what is less alike is not compared."""


@dataclass(frozen=True, slots=True)
class SimilaritySettings:
    """How similar a question must be to one whose answer is given again, the guard's word aside.

    Args:
        bar: the least cosine.
        calibrated_bar: the least probability that the answer is good, neither 0 nor 1, in place of `bar` where a calibration for the
            embedder is in force; None: none is used.
    """

    bar: float = 0.9
    calibrated_bar: float | None = None

    def bar_for(self, embedder_digest: str, calibrations: Calibrations) -> float:
        """Returns the least similarity, under the map that is in force for the embedder."""
        return Bar(self.bar, self.calibrated_bar, LEAST_SIMILARITY).under(calibrations.of(SIMILARITY, embedder_digest))
