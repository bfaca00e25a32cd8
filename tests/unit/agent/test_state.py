"""The folder of the agent's state."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.state import StateFolder
from contract.errors import NotPossibleNow, Reason
from tests.fakes.permissions import closed_to_us

LOCK = """
import sys
from pathlib import Path
from agent.state import StateFolder
from contract.errors import SeawallError
state = StateFolder(Path(sys.argv[1]))
try:
    state.lock()
    print("locked", flush=True)
    sys.stdin.read()
except SeawallError as error:
    print(error.message, flush=True)
"""


@contextmanager
def lock_in_another_process(path: Path) -> Iterator[str]:
    """Tries to lock, yields what came of it, and lets the process end."""
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


def test_it_is_made_for_this_user_alone(tmp_path: Path) -> None:
    StateFolder(tmp_path / "deep" / "state")
    assert stat.S_IMODE((tmp_path / "deep" / "state").stat().st_mode) == 0o700


def test_one_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    StateFolder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_what_cannot_be_a_folder_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotPossibleNow, match="state_folder") as caught:
            StateFolder(path)
        assert caught.value.reason is Reason.CONFIG_INVALID


def test_one_that_belongs_to_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with closed_to_us(tmp_path), pytest.raises(NotPossibleNow, match="cannot be used"):
        StateFolder(tmp_path / "state")
    with closed_to_us(tmp_path / "state"), pytest.raises(NotPossibleNow, match="cannot be used"):
        StateFolder(tmp_path / "state")


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = StateFolder(tmp_path).data_key()
    finally:
        os.umask(before)
    assert len(key) == 32
    assert StateFolder(tmp_path).data_key() == key
    assert stat.S_IMODE((tmp_path / "data.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["data.key"]


def test_two_devices_have_two_keys(tmp_path: Path) -> None:
    assert StateFolder(tmp_path / "a").data_key() != StateFolder(tmp_path / "b").data_key()


def test_a_damaged_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "data.key").write_bytes(b"short")
    with pytest.raises(NotPossibleNow, match="damaged"):
        StateFolder(tmp_path).data_key()
    assert (tmp_path / "data.key").read_bytes() == b"short"


def test_a_key_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "data.key").mkdir()
    with pytest.raises(NotPossibleNow, match="cannot be used"):
        StateFolder(tmp_path).data_key()


def test_a_key_that_others_can_read_is_made_private(tmp_path: Path) -> None:
    key = StateFolder(tmp_path).data_key()
    (tmp_path / "data.key").chmod(0o644)
    with capture_logs() as logs:
        assert StateFolder(tmp_path).data_key() == key
    assert stat.S_IMODE((tmp_path / "data.key").stat().st_mode) == 0o600
    assert [line["log_level"] for line in logs] == ["warning"]


def test_a_key_that_the_configuration_names_is_used_as_it_is_and_never_made(tmp_path: Path) -> None:
    given = tmp_path / "given.key"
    with pytest.raises(NotPossibleNow, match="put it back"):
        StateFolder(tmp_path).data_key(given)
    given.write_bytes(b"k" * 32)
    given.chmod(0o440)
    assert StateFolder(tmp_path).data_key(given) == b"k" * 32
    assert [path.name for path in tmp_path.iterdir()] == ["given.key"]
    assert stat.S_IMODE(given.stat().st_mode) == 0o440


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with lock_in_another_process(tmp_path) as first, lock_in_another_process(tmp_path) as second:
        assert first == "locked"
        assert second.startswith("Another seawall-agent runs on ")
    with lock_in_another_process(tmp_path) as third:
        assert third == "locked"


def test_a_lock_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(NotPossibleNow, match="cannot be used"):
        StateFolder(tmp_path).lock()
