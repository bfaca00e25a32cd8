"""Step 5: how likely is it that the local answer is good enough? Judged by the model's own probabilities, never by the prompt's words.

The figure is the geometric mean of the probabilities that the model gave to the tokens it chose, that is exp(mean log-probability):
the length-normalised sequence probability (Malinin and Gales 2021, "Uncertainty Estimation in Autoregressive Structured Prediction",
section 3). `benchmarks/confidence.py` prints how well it tells right answers from wrong ones, and what each bar would send away.

It orders answers, and is no probability. A signed calibration (`contract/calibration`) says which probability belongs to it, for one model;
where the site's configuration names a bar for probabilities, that counts, turned into the figure from which on it is reached.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.calibration.maps import CONFIDENCE, Bar, Calibrations


@dataclass(frozen=True, slots=True)
class ConfidenceSettings:
    """When a local answer is trusted.

    Args:
        bar: the least confidence of an answer that is given without a second thought, 0 to 1.
        held_tokens: how many tokens are judged; the answer is held back until then.
        calibrated_bar: the least probability that the answer is good, neither 0 nor 1, in place of `bar` where a calibration for the model
            is in force; None: none is used.
    """

    bar: float = 0.5
    held_tokens: int = 16
    calibrated_bar: float | None = None

    def bar_for(self, model_digest: str, calibrations: Calibrations) -> float:
        """Returns the least confidence of a model's answer that is trusted."""
        return Bar(self.bar, self.calibrated_bar).under(calibrations.of(CONFIDENCE, model_digest))


def confidence(logprobs: Sequence[float]) -> float:
    """Returns the geometric mean of the tokens' probabilities, 0 to 1.

    Args:
        logprobs: natural logarithms, one a token; none, or one that is no number, gives 0: nothing is known of such an answer.
    """
    if not logprobs or math.isnan(total := sum(logprobs)):
        return 0.0
    return math.exp(min(0.0, total / len(logprobs)))
