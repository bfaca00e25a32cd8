"""Carries one round: a child process speaks Flower with the hub, and hands each stage's message to the agent over a pipe.

The child is transport and no more. It inherits no file, no variable and no key of the agent; what it needs to be known by the hub is a key
that is made for this round. What it sees are messages whose meaning it does not know.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from agent.learning.flower_place import HERE
from contract.carrying import QUIET, Frame, FrameKind, Frames
from contract.errors import Reason, SeawallError, Unavailable

_log = structlog.get_logger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]
"""Takes a stage's message, and returns the answer to it; an error of ours refuses it."""

CHILD = (HERE.python, "-I", "-m", "agent.learning.flower_child")
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """Where a round is, and who comes.

    Args:
        address: `host:port` of the Fleet API.
        certificate_pem: that is shown there; it alone is trusted.
        node_key_pem: the private key of the node, made for this round.
    """

    address: str
    certificate_pem: bytes
    node_key_pem: bytes = field(repr=False)


async def carry(target: Target, answer: Answer, deadline_seconds: float, command: Sequence[str] = CHILD) -> None:
    """Takes part in a round, until it is over or the deadline has come.

    Args:
        target: where it is.
        answer: takes each stage's message.
        deadline_seconds: after which the child is killed.
        command: that starts the child.

    Raises:
        Unavailable: HUB_UNAVAILABLE, the child has failed, or could not reach the hub in time.
    """
    process = await _started(command)
    try:
        async with asyncio.timeout(deadline_seconds):
            await _relay(process, _begin(target, deadline_seconds), answer)
            status = await process.wait()
    except TimeoutError as error:
        raise _failed("it was not over by its deadline") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status != 0:
        raise _failed("its child process has failed, see the log")


async def _started(command: Sequence[str]) -> asyncio.subprocess.Process:
    pipe, environment = asyncio.subprocess.PIPE, {**QUIET, "PATH": os.defpath}
    try:
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment, cwd="/")
    except OSError as error:
        raise _failed(f"its child process could not begin ({error.strerror})") from error


def _begin(target: Target, deadline_seconds: float) -> Frame:
    wanted = {
        "address": target.address,
        "certificate_pem": target.certificate_pem.decode(),
        "node_key_pem": target.node_key_pem.decode(),
        "deadline_seconds": deadline_seconds,
    }
    return Frame(FrameKind.BEGIN, body=json.dumps(wanted).encode())


async def _relay(process: asyncio.subprocess.Process, begin: Frame, answer: Answer) -> None:
    if process.stdin is None or process.stdout is None:
        raise TypeError("the child is spoken with over pipes")
    process.stdin.write(begin.to_bytes())
    frames = Frames()
    while piece := await process.stdout.read(_READ_BYTES):
        for frame in frames.feed(piece):
            process.stdin.write((await _answered(frame, answer)).to_bytes())


async def _answered(frame: Frame, answer: Answer) -> Frame:
    try:
        return Frame(FrameKind.ANSWER, frame.stage, body=await answer(frame.body))
    except SeawallError as error:
        _log.warning("a message of a round is refused", reason=error.reason, advice=error.message)
        return Frame(FrameKind.REFUSAL, frame.stage)


def _failed(why: str) -> Unavailable:
    return Unavailable(Reason.HUB_UNAVAILABLE, f"The round was not carried to its end: {why}.")
