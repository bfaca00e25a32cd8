"""Step 3: the same question again, to the same model under the same policy, has the same answer."""

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace

from agent.prompts import FinishReason, Message, Prompt, Sampling
from agent.store.answers import AnswerStore, KeptQuestion
from agent.store.subjects import Subject
from contract.receipts import CACHED, SIMILAR


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """What is kept of an answer."""

    text: str
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    model: str
    model_digest: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """A kept answer that is given again.

    Args:
        digest: under which it is kept.
        answer: it; without a confidence where it was to another question.
        similarity: the cosine of that question and the one that is asked; None: they are the same.
    """

    digest: str
    answer: CachedAnswer
    similarity: float | None = None

    @property
    def how(self) -> str:
        """How it was found, as receipts say it."""
        return CACHED if self.similarity is None else SIMILAR


class ExactCache:
    """Recalls answers by a keyed digest of all that could change them.

    Args:
        store: where they are kept.
        key: 32 bytes; without it, nobody can tell by a digest what was asked.
        scope: what every answer depends on, beside model and policy.
        policy_digest: returns that of the policy in force.
    """

    def __init__(self, store: AnswerStore, key: bytes, scope: Sequence[str], policy_digest: Callable[[], str] = str) -> None:
        self._store = store
        self._key = key
        self._policy_digest = policy_digest
        self._scope = [*scope, *(field.name for field in fields(CachedAnswer))]  # another version's answers are not recalled

    async def recall(self, messages: Sequence[Message], sampling: Sampling, now: float, model_digest: str = "") -> CachedAnswer | None:
        """Returns the kept answer, or None: none is kept, or the sampling is random.

        Args:
            messages: the conversation.
            sampling: how tokens are chosen.
            now: POSIX time, seconds.
            model_digest: of the model on the device: what another one has answered is not recalled.
        """
        if not repeatable(sampling):
            return None
        return await self.kept(self.digest(messages, sampling, model_digest), now)

    async def kept(self, digest: str, now: float) -> CachedAnswer | None:
        """Returns the answer that is kept under a digest, or None."""
        text = await self._store.get(digest, now)
        return None if text is None else CachedAnswer(**json.loads(text))

    async def keep(
        self,
        prompt: Prompt,
        messages: Sequence[Message],
        answer: CachedAnswer,
        now: float,
        model_digest: str = "",
        question: KeptQuestion | None = None,
    ) -> str | None:
        """Keeps an answer, if asking again would give it again, until whose prompt it was is forgotten.

        Returns its digest; None: it is not kept.

        Args:
            prompt: says whose, and how tokens are chosen.
            messages: the conversation, the prompt's own included.
            answer: to it.
            now: POSIX time, seconds.
            model_digest: see `recall`.
            question: by which it may be found too; see agent.cache.semantic.
        """
        if not repeatable(prompt.sampling):
            return None
        digest = self.digest(messages, prompt.sampling, model_digest)
        subject, asked_time = Subject(prompt.client, prompt.conversation), prompt.received_time.timestamp()
        is_kept = await self._store.put(digest, json.dumps(asdict(answer)), subject, asked_time, now, question)
        return digest if is_kept else None

    def digest(self, messages: Sequence[Message], sampling: Sampling, model_digest: str, *more: str) -> str:
        """Returns a keyed digest of what an answer depends on.

        Args:
            messages: the conversation, or its beginning.
            sampling: how tokens are chosen.
            model_digest: of the model on the device.
            more: that it depends on.
        """
        question = [
            [*self._scope, self._policy_digest(), model_digest, *more],
            [asdict(message) for message in messages],
            asdict(replace(sampling, seed=None)),
        ]
        return hmac.new(self._key, json.dumps(question, sort_keys=True).encode(), hashlib.sha256).hexdigest()


def repeatable(sampling: Sampling) -> bool:
    """Says whether the same question has the same answer: only under greedy sampling."""
    return sampling.temperature == 0
