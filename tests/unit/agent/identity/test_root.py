"""The first root is the one that the join token named, or none."""

import hashlib

import pytest

from agent.identity.root import MAX_ROOTS, first_root
from contract.errors import InvalidRequest, NotFound, Reason, Unavailable

ROOTS = {f"{version}.root.json": f"root {version}".encode() for version in (1, 2, 3)}


async def served(name: str) -> bytes:
    if name not in ROOTS:
        raise NotFound(Reason.RELEASE_NOT_FOUND, "None.")
    return ROOTS[name]


@pytest.mark.parametrize("root", ROOTS.values())
async def test_any_root_of_the_chain_can_be_the_first(root: bytes) -> None:
    assert await first_root(served, hashlib.sha256(root).hexdigest()) == root


@pytest.mark.parametrize("sha256", ["0" * 64, ""])
async def test_a_source_with_another_trust_is_refused(sha256: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await first_root(served, sha256)
    assert raised.value.reason is Reason.RELEASE_INVALID


async def test_a_source_without_an_end_is_left() -> None:
    asked = []

    async def endless(name: str) -> bytes:
        asked.append(name)
        return b"another root"

    with pytest.raises(InvalidRequest):
        await first_root(endless, "0" * 64)
    assert len(asked) == MAX_ROOTS


async def test_a_source_that_is_away_is_not_one_that_is_wrong() -> None:
    async def away(name: str) -> bytes:
        raise Unavailable(Reason.HUB_UNAVAILABLE, name)

    with pytest.raises(Unavailable):
        await first_root(away, "0" * 64)
