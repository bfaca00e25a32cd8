"""A reference by other people: llama.cpp on the same GGUF file, in this process.

llama.cpp reports probabilities for what it generates only. So it is made to generate the true text: for each position it gets the
tokens up to there and one token to generate, which a bias forces. The log-probability that it reports is of its own logits, before the
bias; the likeliest token stands beside it. The cache holds all but the last token, so each position costs one step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import Reason, SeawallError
from models.evaluation.scores import Scores, Window
from models.progress import Progress

_FORCE = 1e6
"""Added to a logit; far above any."""


class ReferenceFailed(SeawallError):
    """llama.cpp does not give what is asked of it."""


class LlamaCppScorer:
    """A GGUF file in llama.cpp.

    Args:
        path: the file.
        context_tokens: the longest window.
        vocabulary: how many tokens there are.
        plain_token: any token that is a whole character.
    """

    def __init__(self, path: Path, context_tokens: int, vocabulary: int, plain_token: int) -> None:
        import xllamacpp  # in the `tour` extra, which a machine that only builds lacks

        self._vocabulary, self._plain_token = vocabulary, plain_token
        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel, settings.verbosity = context_tokens, 1, 0
        settings.warmup = False
        # One thread: several wait for each other by spinning, which is ten times slower where the processors are shared.
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:
            raise ReferenceFailed(Reason.INTERNAL, f"llama.cpp cannot load {path.name}: {error}") from error

    def score(self, windows: Sequence[Window], progress: Progress) -> Scores:
        """Scores all windows."""
        positions = [(window, length) for window in windows for length in range(1, len(window))]
        said = [self._next(window[:length], window[length]) for window, length in progress.over("llama.cpp", positions)]
        return Scores(np.array([log_probability for log_probability, _ in said]), np.array([best for _, best in said]))

    def _next(self, known: Window, following: int) -> tuple[float, int]:
        """Returns the log-probability of the token that follows, and the likeliest token."""
        said = self._forced(known, following, count=1)
        if said is not None:
            return float(said["logprob"]), int(said["top_logprobs"][0]["id"])
        # It says nothing of a token that is a part of a character. So another one is generated, and the whole distribution read.
        said = self._forced(known, self._plain_token, count=self._vocabulary)
        everything = {token["id"]: token["logprob"] for token in said["top_logprobs"]} if said else {}
        if following not in everything:
            raise ReferenceFailed(Reason.INTERNAL, f"llama.cpp gives no log-probability of token {following}.")
        return float(everything[following]), int(next(iter(everything)))

    def _forced(self, known: Window, token: int, count: int) -> dict[str, Any] | None:
        """Generates a given token; returns what llama.cpp says of it and of the `count` likeliest ones, or None."""
        request = {"prompt": list(known), "n_predict": 1, "n_probs": count, "logit_bias": [[token, _FORCE]], "samplers": []}
        answer: dict[str, Any] = self._server.handle_completions(request | {"cache_prompt": True})
        if "choices" not in answer:
            raise ReferenceFailed(Reason.INTERNAL, f"llama.cpp refuses: {answer.get('error', {}).get('message', 'no reason given')}.")
        log_probabilities = answer["choices"][0]["logprobs"]
        if log_probabilities is None:
            return None
        said: dict[str, Any] = log_probabilities["content"][0]
        if said["id"] != token:
            raise ReferenceFailed(Reason.INTERNAL, "llama.cpp chose another token than the one it was made to choose.")
        return said
