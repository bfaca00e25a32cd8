"""Every limit of the decoder, with its unit and its reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the decoder runs.

    Args:
        threads: that compute; None: as many as the cgroup's quota or the machine has cores.
        providers: execution providers in order of preference; the first one that can be used is; see `session.SUPPORTED_PROVIDERS`.
        slots: sequences that decode at once.
        context_tokens: of prompt and answer together; never more than the model's.
        default_max_tokens: of an answer whose prompt does not say.
        queue_size: prompts that may wait for a slot; further ones are refused.
        prefill_piece_tokens: fed in one run while nobody else waits for a token. More are a little faster and take more memory.
        shared_piece_tokens: the same while others decode; one piece is the longest that they wait.
        scored_piece_tokens: of a text that is scored, at most so many in one run: the logits of each are held, 200 kB with a vocabulary of
            49,152.
        prefix_rows: prompt prefixes kept ready.
        prefix_tokens: of all kept prefixes together; bounds the memory that an idle agent holds.
        speculation_tokens: guessed at most in one run, for a greedy answer that is alone; 0: never. A run of several tokens rounds
            differently from one of a single token, so where two tokens are about equally likely, the answer can be another.
        logprob_tokens: of how many of an answer's first tokens the probability is told; None: of all. Each costs a pass over all logits.
    """

    threads: int | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    slots: int = 8
    context_tokens: int = 2048
    default_max_tokens: int = 512
    queue_size: int = 64
    prefill_piece_tokens: int = 192
    shared_piece_tokens: int = 64
    scored_piece_tokens: int = 32
    prefix_rows: int = 4
    prefix_tokens: int = 512
    speculation_tokens: int = 16
    logprob_tokens: int | None = None
