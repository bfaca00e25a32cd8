"""The agent's child for one round, and all that the agent knows of Flower's insides: `python -m agent.learning.flower_child`.

It asks the hub's Fleet API for messages, has the agent answer each over the pipe, and brings the answers. It fetches no FAB, loads no
ClientApp, and follows no redirect: the hub can make it do nothing else. The names that are used are those of flwr 1.41.0; mypy, which reads
Flower's types, and `tests/unit/agent/learning/test_flower_child.py` say when they change.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from contract.carrying import ENTRY, LONGEST_ROUND_SECONDS, QUIET, RECORD, Frame, FrameKind, Frames

os.environ.update(QUIET)

import logging

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

Request = TypeVar("Request")
Response = TypeVar("Response")

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 2.0
UNREACHABLE_SECONDS = 20.0
"""A hub that was there, and cannot be reached for so long, plays this round no more."""

_OVER = (httpx.codes.FORBIDDEN, httpx.codes.GONE)
_AGAIN = (httpx.codes.UNAUTHORIZED, httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
"""A node that the hub has not let in yet is not known to it."""

REFUSED = 1
"""Flower's code of an answer that is none; the reason stays on the device."""


MOST_DATA_BYTES = 512 * 1024**2
"""Flower takes a fifth of it. What the hub sends may not take what the agent needs."""

READ_BYTES = 256 * 1024


class Over(Exception):
    """The round is over for this node."""


class Fleet:
    """A node of the Fleet API.

    Args:
        address: `host:port`.
        certificate_pem: that it trusts.
        key: of the node.
        deadline_seconds: of the round.
    """

    def __init__(self, address: str, certificate_pem: bytes, key: ec.EllipticCurvePrivateKey, deadline_seconds: float) -> None:
        logging.getLogger("flwr").setLevel(logging.ERROR)
        identity = NodeAuthHttpInterceptor(key, key.public_key())
        version = RuntimeVersionHttpInterceptor(component_name="SuperNode")
        self._client = FleetHttpClient.from_server_address(address, False, certificate_pem, [version, identity])
        self._client._client.follow_redirects = False  # one could lead to any address on the site
        self._public_key = public_key_to_bytes(key.public_key())
        self._deadline = time.monotonic() + deadline_seconds
        self._unreachable_seconds = deadline_seconds
        self._node: Node

    def close(self) -> None:
        """Leaves."""
        self._client._client.close()

    def activate(self) -> None:
        """Comes; waits until the hub lets it in.

        Raises:
            Over: it does not.
        """
        asked = ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=LONGEST_ROUND_SECONDS)
        self._node = Node(node_id=self._insist(self._client.ActivateNode, asked).node_id)
        self._unreachable_seconds = UNREACHABLE_SECONDS

    def pull(self) -> Message:
        """Waits for the next message.

        Raises:
            Over: there is none.
        """
        while True:
            response = self._insist(self._client.PullMessages, PullMessagesRequest(node=self._node))
            if response.messages_list:
                return self._fetch(response.messages_list[0].metadata, response.message_object_trees[0])

    def push(self, message: Message, body: bytes | None) -> None:
        """Brings the answer to a message; None: there is none.

        Raises:
            Over: it comes too late.
        """
        if body is None:
            answer = Message(Error(REFUSED, "refused"), reply_to=message)
        else:
            answer = Message(RecordDict({RECORD: ConfigRecord({ENTRY: body})}), reply_to=message)
        answer.metadata.__dict__["_message_id"] = answer.object_id
        with no_object_id_recompute():
            tree, objects = get_object_tree(answer), get_all_nested_objects(answer)
            head = message_to_proto(remove_content_from_message(answer) if answer.has_content() else answer)
            asked = PushMessagesRequest(node=self._node, messages_list=[head], message_object_trees=[tree], clientapp_runtime_list=[0.0])
            response = self._insist(self._client.PushMessages, asked)
            for object_id in response.objects_to_push:
                part = PushObjectRequest(
                    node=self._node,
                    run_id=answer.metadata.run_id,
                    object_id=object_id,
                    object_content=objects[object_id].deflate(),
                    session_id=response.session_id,
                )
                self._insist(self._client.PushObject, part)

    def _fetch(self, metadata: Any, tree: Any) -> Message:
        run = {"node": self._node, "run_id": metadata.run_id}
        contents = {
            each.object_id: self._insist(self._client.PullObject, PullObjectRequest(object_id=each.object_id, **run)).object_content
            for each in iterate_object_tree(tree)
        }
        message = inflate_object_from_contents(metadata.message_id, contents)
        if not isinstance(message, Message):
            raise TypeError("what the hub sent is no message")
        message.metadata.__dict__["_message_id"] = metadata.message_id
        self._insist(self._client.ConfirmMessageReceived, ConfirmMessageReceivedRequest(message_object_id=metadata.message_id, **run))
        return message

    def _insist(self, call: Callable[[Request], Response], request: Request) -> Response:
        """Asks until there is an answer: links of devices break."""
        delay, end = FIRST_DELAY_SECONDS, min(self._deadline, time.monotonic() + self._unreachable_seconds)
        while True:
            try:
                return call(request)
            except httpx.HTTPStatusError as error:
                if error.response.status_code in _OVER:
                    raise Over from error
                if error.response.status_code not in _AGAIN:
                    raise
            except httpx.TransportError as error:
                print(f"{type(error).__name__} at {error.request.url.path}", file=sys.stderr)
            if time.monotonic() + delay > end:
                raise Over
            time.sleep(delay)
            delay = min(LONGEST_DELAY_SECONDS, 2 * delay)


class Pipe:
    """The way to the agent. This process ends with it.

    Args:
        source: to be read.
        output: to be written.
    """

    def __init__(self, source: int, output: int) -> None:
        self._output = output
        self._read: SimpleQueue[Frame] = SimpleQueue()
        Thread(target=self._listen, args=(source,), daemon=True).start()

    def read(self) -> Frame:
        """Waits for the next frame."""
        return self._read.get()

    def ask(self, body: bytes) -> bytes | None:
        """Has the agent answer a message; None: it refuses it."""
        content = memoryview(Frame(FrameKind.MESSAGE, body=body).to_bytes())
        while content:
            content = content[os.write(self._output, content) :]
        frame = self.read()
        return frame.body if frame.kind is FrameKind.ANSWER else None

    def _listen(self, source: int) -> None:
        frames = Frames()
        while piece := os.read(source, READ_BYTES):
            for frame in frames.feed(piece):
                self._read.put(frame)
        os._exit(0)  # the agent has gone, whatever this process waits for


def take_part(pipe: Pipe) -> None:
    """Takes part in one round, to its end."""
    wanted = json.loads(pipe.read().body)
    key = load_pem_private_key(wanted["node_key_pem"].encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a node's key is one of an elliptic curve")
    with closing(Fleet(wanted["address"], wanted["certificate_pem"].encode(), key, wanted["deadline_seconds"])) as fleet:
        try:
            fleet.activate()
        except Over:
            sys.exit("the hub has not let this node in")
        with suppress(Over):
            while True:
                message = fleet.pull()
                body = message.content.config_records[RECORD][ENTRY]
                if not isinstance(body, bytes):
                    raise TypeError("what the hub sent is no stage's message")
                fleet.push(message, pipe.ask(body))


def be_the_first_to_go() -> None:
    """Bounds this process's memory, and has the kernel end it before the agent where there is too little of it: proc(5), oom_score_adj."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    with suppress(OSError):  # where a container may not
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    be_the_first_to_go()
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no frame
    take_part(Pipe(sys.stdin.fileno(), output))
    sys.stderr.flush()
    os._exit(0)  # taking Flower apart would take as long as loading it
