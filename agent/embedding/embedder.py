"""Puts texts that mean the same close together, by a small network; see docs/adr/0029-semantic-cache.md and models/embedder.

All-MiniLM-L6-v2: the mean of the last layer's states, brought to length 1 (Reimers and Gurevych 2019, "Sentence-BERT", section 3).
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.inference.shipped import Shipped, open_network, open_tokenizer
from contract.errors import Reason

WEIGHTS = Path(__file__).parent / "weights"
MODEL, TOKENIZER = "embedder.onnx", "tokenizer.json"

DIMENSIONS = 384
MOST_TOKENS = 256
"""What comes after them is not read: the network was trained on no longer texts. The two marks at both ends count."""

_SHIPPED = Shipped(
    "embedder",
    "questions are not compared",
    (MODEL, TOKENIZER),
    unavailable=Reason.EMBEDDER_UNAVAILABLE,
    invalid=Reason.EMBEDDER_INVALID,
)

Vector = npt.NDArray[np.float32]


class Embedder:
    """The network. Milliseconds of one core for a question: not to be called in the event loop's thread. It remembers no text.

    `digest` names it: vectors of another one cannot be compared with its own.

    Args:
        folder: of its weights.

    Raises:
        Unavailable: EMBEDDER_UNAVAILABLE: the weights are not there.
        InvalidRequest: EMBEDDER_INVALID: they are not those of this version.
    """

    def __init__(self, folder: Path = WEIGHTS) -> None:
        self.digest = _SHIPPED.verify(folder)[MODEL]
        self._session = open_network(folder / MODEL)
        self._tokenizer = open_tokenizer(folder / TOKENIZER)

    def tokens(self, text: str) -> int:
        """Returns how many tokens a text has; see MOST_TOKENS."""
        return len(self._ids(text))

    def embed(self, text: str) -> Vector:
        """Returns a text's vector [DIMENSIONS], of length 1: the cosine of two is their product. It cannot be written to."""
        ids = self._ids(text)
        if len(ids) > MOST_TOKENS:
            ids = [*ids[: MOST_TOKENS - 1], ids[-1]]
        (means,) = self._session.run(None, {"ids": np.array([ids], np.int64)})
        vector: Vector = means[0] / np.linalg.norm(means[0])
        vector.flags.writeable = False
        return vector

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids
