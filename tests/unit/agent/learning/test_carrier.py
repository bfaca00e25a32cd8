"""What the agent gives its child and takes from it. The children here are small programs that speak frames."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from agent.learning.carrier import CHILD, Target, carry
from contract.carrying import QUIET
from contract.errors import InvalidRequest, NotPermitted, Reason, SeawallError, Unavailable
from tests.fakes.fleet_agent import eventually

TARGET = Target("127.0.0.1:1", b"certificate", b"key")

SPEAKS = """
import json, os, sys
from contract.carrying import Frame, FrameKind, Frames
frames = Frames()
def hear():
    while True:
        for frame in frames.feed(os.read(0, 65536)):
            return frame
def ask(body):
    os.write(1, Frame(FrameKind.MESSAGE, 7, body=body).to_bytes())
    return hear()
begin = json.loads(hear().body)
"""


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", SPEAKS + text)


def is_there(process: bytes) -> bool:
    return Path(f"/proc/{int(process)}").exists()


class Device:
    """Answers, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def answer(self, message: bytes) -> bytes:
        self.asked.append(message)
        return b"answer to " + message


async def test_the_child_asks_and_hears_the_answer() -> None:
    device = Device()
    await carry(TARGET, device.answer, 30, program("ask(ask(b'one').body)"))
    assert device.asked == [b"one", b"answer to one"]


async def test_a_message_that_is_refused_is_answered_with_a_refusal_and_the_round_goes_on() -> None:
    asked = []

    async def refuse(message: bytes) -> bytes:
        asked.append(message)
        raise NotPermitted(Reason.WINDOW_SPENT, "Not twice.")

    await carry(TARGET, refuse, 30, program("kind = ask(b'one').kind; ask(kind.name.encode())"))
    assert asked == [b"one", b"REFUSAL"]


async def test_the_child_inherits_no_variable_no_file_and_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_AGENT_MQTT__PASSWORD", "a secret")
    device = Device()
    say = "ask(json.dumps([dict(os.environ), sorted(os.listdir('/proc/self/fd')), os.getcwd(), sorted(begin)]).encode())"
    with (tmp_path / "agent.db").open("w") as kept:
        kept.write("secret")
        await carry(TARGET, device.answer, 30, program(say))
    variables, files, folder, begin = json.loads(device.asked[0])
    assert set(variables) - {"LC_CTYPE"} == {*QUIET, "PATH"}
    assert len(files) == 4  # three and the one that lists them
    assert folder == "/"
    assert begin == ["address", "certificate_pem", "deadline_seconds", "node_key_pem"]


async def test_at_the_deadline_the_child_is_killed() -> None:
    device = Device()
    with pytest.raises(Unavailable, match="deadline"):
        await carry(TARGET, device.answer, 2, program("ask(str(os.getpid()).encode()); hear()"))
    assert not is_there(device.asked[0])


async def test_a_round_that_is_cancelled_leaves_no_child() -> None:
    device = Device()
    carrying = asyncio.create_task(carry(TARGET, device.answer, 60, program("ask(str(os.getpid()).encode()); hear()")))
    await eventually(lambda: bool(device.asked))
    carrying.cancel()
    await asyncio.gather(carrying, return_exceptions=True)
    assert not is_there(device.asked[0])


@pytest.mark.parametrize(("text", "error"), [("sys.exit(3)", Unavailable), ("os.write(1, bytes(100))", InvalidRequest)])
async def test_a_child_that_fails_or_talks_nonsense_ends_the_round(text: str, error: type[SeawallError]) -> None:
    with pytest.raises(error):
        await carry(TARGET, Device().answer, 30, program(text))


async def test_a_child_that_cannot_begin_ends_the_round_and_not_the_agent() -> None:
    with pytest.raises(Unavailable, match="could not begin"):
        await carry(TARGET, Device().answer, 30, ("/nowhere/python",))


async def test_the_real_child_ends_when_the_agent_is_gone() -> None:
    """As after a SIGKILL: all that it hears of it is that its pipe ends."""
    child = await asyncio.create_subprocess_exec(*CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={}, cwd="/")
    assert child.stdin is not None
    child.stdin.close()
    assert await asyncio.wait_for(child.wait(), 60) == 0
