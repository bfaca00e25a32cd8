"""Guesses an answer's next tokens from what the prompt and the answer have already said (Saxena 2023, "Prompt Lookup Decoding").

The model checks a whole guess in one run. Answers that quote, summarise or rewrite their prompt come much sooner, others lose nothing.
"""

from collections.abc import Sequence

MATCH_TOKENS = 5
"""So many tokens must have been said before, in this order. Fewer match by chance, and a wrong guess costs a third of a step."""

FIRST_GUESS_TOKENS = 4


class PromptLookup:
    """The tokens of one sequence, and where each run of MATCH_TOKENS of them was last followed by something.

    Args:
        tokens: of the prompt.
        longest_guess_tokens: of one guess.
    """

    def __init__(self, tokens: Sequence[int], longest_guess_tokens: int) -> None:
        self._tokens: list[int] = []
        self._followed_at: dict[tuple[int, ...], int] = {}
        self._longest_guess_tokens = longest_guess_tokens
        self._guess_tokens = min(FIRST_GUESS_TOKENS, longest_guess_tokens)
        for token in tokens:
            self.push(token)

    def push(self, token: int) -> None:
        """Takes the sequence's next token."""
        if len(self._tokens) >= MATCH_TOKENS:
            self._followed_at[tuple(self._tokens[-MATCH_TOKENS:])] = len(self._tokens)
        self._tokens.append(token)

    def guess(self, limit_tokens: int) -> list[int]:
        """Returns what followed when the last tokens were said before; nothing where they are new. Circles are followed round."""
        position = self._followed_at.get(tuple(self._tokens[-MATCH_TOKENS:]))
        if position is None:
            return []
        guessed: list[int] = []
        for offset in range(min(self._guess_tokens, limit_tokens)):
            at = position + offset
            guessed.append(self._tokens[at] if at < len(self._tokens) else guessed[at - len(self._tokens)])
        return guessed

    def judge(self, guessed: int, right: int) -> None:
        """Learns from how many tokens of a guess were right: guesses grow while they are, and shrink to what was."""
        grown = 2 * guessed if right == guessed else right
        self._guess_tokens = max(2, min(grown, self._longest_guess_tokens))
