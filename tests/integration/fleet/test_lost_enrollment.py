"""An enrolment whose answer is lost: the same token brings the same identity; another one a new one."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from agent.identity.attempts import Attempts
from agent.identity.enrollment import enroll
from agent.identity.files import Identity, IdentityFolder
from contract.errors import NotAuthenticated, NotPossibleNow, Reason
from tests.fakes.hub import RunningHub


async def enrolled(hub: RunningHub, token: str, folder: Path) -> Identity:
    return await asyncio.to_thread(partial(enroll, token, hub.enrollment_target, hub.mtls_target, "plant-7", begin=Attempts(folder).begin))


async def test_a_lost_answer_is_asked_for_again_with_the_same_key_and_spends_no_other_token(real: RunningHub, tmp_path: Path) -> None:
    token, folder = str(await real.join_token()), tmp_path / "identity"
    lost = await enrolled(real, token, folder)  # never written: the device lost its power
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
    again = await enrolled(real, token, folder)
    assert again == lost
    IdentityFolder(folder).write(again)
    Attempts(folder).end()
    assert [path.name for path in folder.iterdir()] == ["identity.json"]
    with pytest.raises(NotAuthenticated) as caught:
        await enrolled(real, token, folder)
    assert caught.value.reason is Reason.JOIN_TOKEN_USED


def test_another_token_has_a_key_of_its_own(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path / "identity")
    first, again, other = (attempts.begin(token_id) for token_id in ("a", "a", "b"))
    assert first == again
    assert other.key_pem != first.key_pem
    assert other.request_id != first.request_id


def test_a_damaged_attempt_is_named(tmp_path: Path) -> None:
    (tmp_path / "enrollment.json").write_text("{}")
    with pytest.raises(NotPossibleNow, match=r"remove enrollment\.json"):
        Attempts(tmp_path).begin("a")
