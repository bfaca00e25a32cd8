from agent.inference.prefixes import SHORTEST_TOKENS, Copy, PrefixStore

LONG = tuple(range(100))


def test_a_kept_prompt_is_found_by_what_it_shares() -> None:
    store = PrefixStore([8, 9], 500)
    copy, evicted = store.keep(LONG, row=0)
    assert copy is not None
    assert (copy.source, copy.start, copy.end, evicted) == (0, 0, 100, [])
    assert store.find([*LONG[:40], 7, 7]) == (copy.target, 40)


def test_the_longest_of_several_is_found() -> None:
    store = PrefixStore([8, 9], 500)
    store.keep((*LONG[:30], 1, 1), row=0)
    long, _ = store.keep((*LONG[:60], 2), row=0)
    assert long
    assert store.find(LONG) == (long.target, 60)


def test_what_is_too_short_is_neither_kept_nor_found() -> None:
    store = PrefixStore([8], 500)
    assert store.keep(LONG[: SHORTEST_TOKENS - 1], row=0) == (None, [])
    store.keep(LONG, row=0)
    assert store.find([*LONG[: SHORTEST_TOKENS - 1], 999]) == (-1, 0)


def test_a_conversation_is_continued_in_place_and_only_the_new_part_is_copied() -> None:
    store = PrefixStore([8, 9], 500)
    first, _ = store.keep(LONG[:50], row=0)
    assert first
    assert store.keep(LONG[:80], row=1) == (Copy(1, first.target, 50, 80), [])
    assert list(store.kept) == [first.target]


def test_what_is_kept_already_is_not_kept_again() -> None:
    store = PrefixStore([8, 9], 500)
    store.keep(LONG, row=0)
    assert store.keep(LONG[:50], row=0) == (None, [])


def test_the_least_recently_used_goes_when_all_rows_are_full() -> None:
    store = PrefixStore([8, 9], 500)
    prompts = [tuple(range(start, start + 50)) for start in (0, 100, 200)]
    store.keep(prompts[0], row=0)
    store.keep(prompts[1], row=0)
    store.find(prompts[0])
    store.keep(prompts[2], row=0)
    assert set(store.kept.values()) == {prompts[0], prompts[2]}


def test_the_least_recently_used_goes_when_there_are_too_many_tokens() -> None:
    store = PrefixStore([8, 9, 10], 120)
    first, _ = store.keep(tuple(range(50)), row=0)
    store.keep(tuple(range(100, 150)), row=0)
    _, evicted = store.keep(tuple(range(200, 250)), row=0)
    assert first
    assert evicted == [first.target]
    assert sum(map(len, store.kept.values())) == 100


def test_of_a_prompt_over_the_capacity_the_beginning_is_kept() -> None:
    store = PrefixStore([8], 60)
    copy, _ = store.keep(LONG, row=0)
    assert copy == Copy(0, 8, 0, 60)
    assert store.find(LONG) == (8, 60)


def test_a_store_without_rows_keeps_nothing() -> None:
    store = PrefixStore([], 500)
    assert store.keep(LONG, row=0) == (None, [])
    assert store.find(LONG) == (-1, 0)
