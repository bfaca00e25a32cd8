from agent.inference.speculation import FIRST_GUESS_TOKENS, MATCH_TOKENS, PromptLookup

TEXT = list(range(10, 40))


def test_what_followed_the_same_tokens_before_is_guessed() -> None:
    lookup = PromptLookup([*TEXT, *TEXT[:MATCH_TOKENS]], 8)
    assert lookup.guess(100) == TEXT[MATCH_TOKENS : MATCH_TOKENS + FIRST_GUESS_TOKENS]


def test_new_text_is_not_guessed() -> None:
    assert PromptLookup(TEXT, 8).guess(100) == []
    assert PromptLookup([*TEXT, *TEXT[: MATCH_TOKENS - 1]], 8).guess(100) == []
    assert PromptLookup([], 8).guess(100) == []


def test_the_latest_of_several_places_is_taken() -> None:
    start = TEXT[:MATCH_TOKENS]
    assert PromptLookup([*start, 1, 1, 1, 1, *start, 2, 2, 2, 2, *start], 8).guess(100) == [2, 2, 2, 2]


def test_text_that_goes_in_circles_is_followed_round() -> None:
    lookup = PromptLookup([7, 8, 9] * 3, 8)
    lookup.judge(guessed=4, right=4)
    assert lookup.guess(100) == [7, 8, 9, 7, 8, 9, 7, 8]


def test_no_more_is_guessed_than_may_come() -> None:
    lookup = PromptLookup([*TEXT, *TEXT[:MATCH_TOKENS]], 8)
    assert lookup.guess(2) == TEXT[MATCH_TOKENS : MATCH_TOKENS + 2]
    assert lookup.guess(0) == []


def test_guesses_grow_while_they_are_right_and_shrink_when_they_are_not() -> None:
    lookup = PromptLookup([*TEXT, *TEXT[:MATCH_TOKENS]], 16)
    sizes = []
    for guessed, right in ((4, 4), (8, 8), (16, 16), (16, 3), (3, 0)):
        lookup.judge(guessed, right)
        sizes.append(len(lookup.guess(100)))
    assert sizes == [8, 16, 16, 3, 2]
