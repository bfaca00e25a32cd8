"""All that the hub knows of Flower's insides: a SuperLink in memory for one cohort, of which only the Fleet API can be reached.

Flower's Control and Runtime APIs, which have no authentication, are not made at all: what they would do is done here, on Flower's own
state. No FAB is shipped, and no ServerApp is run. The names that are used are those of flwr 1.41.0; mypy, which reads Flower's types, and
`tests/unit/hub/learning/test_superlink.py` say when they change.
"""

import os
from base64 import b64encode
from collections.abc import Awaitable, Callable

from contract.carrying import ENTRY, LONGEST_ROUND_SECONDS, MESSAGE_TYPE, MOST_BYTES, QUIET, RECORD, Frame, FrameKind

os.environ.update(QUIET)

import logging

from fastapi import FastAPI, HTTPException, Request
from flwr.app import ConfigRecord, Message, Metadata, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID, TaskType
from flwr.supercore.date import now
from flwr.supercore.error import http_error_translator
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStoreFactory
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from flwr.superlink.routers.fleet.router import router
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.learning.answers import Answers

KEY_HEADER = FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode()
PULL = "/v1/fleet/pull-messages"
PUSH_OBJECT = "/v1/fleet/push-object"
PUSHES = ("/v1/fleet/push-messages", PUSH_OBJECT)
PATHS = frozenset(("/v1/fleet/activate-node", PULL, "/v1/fleet/pull-object", "/v1/fleet/confirm-message-received", *PUSHES))
"""All that a node of ours asks for."""

BEAT_SECONDS = 10.0
"""Flower ends a run of which it has heard nothing for a minute."""


class SuperLink:
    """One cohort's.

    Args:
        tell: called with the frame of each answer and refusal.
        hold: called with the header of a node that asks for messages and has proven who it is; returns a status to refuse it with, or 0.
    """

    def __init__(self, tell: Callable[[Frame], None], hold: Callable[[bytes], Awaitable[int]]) -> None:
        logging.getLogger("flwr").setLevel(logging.ERROR)
        self._tell = tell
        self._hold = hold
        factory = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), ObjectStoreFactory(FLWR_IN_MEMORY_DB_NAME))
        self._state = factory.state()
        self._run = self._state.create_run(None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP)
        self._task = self._state.get_run_info(run_ids=[self._run])[0].primary_task_id or 0
        if self._state.claim_task(self._task) is None or not self._state.activate_task(self._task):
            raise RuntimeError("Flower does not begin the run")
        self._nodes: dict[str, int] = {}
        self._asked: dict[str, tuple[str, int]] = {}
        self._answers = Answers()
        self._arriving: list[Message] = []
        self.app = FastAPI(
            openapi_url=None,
            middleware=[
                Middleware(BaseHTTPMiddleware, dispatch=http_error_translator),
                Middleware(ProtobufTranslationMiddleware),
                Middleware(NodeAuthMiddleware),
                Middleware(_Inside, check=self._check),
            ],
        )
        self.app.state.linkstate_factory = factory
        self.app.state.enable_supernode_auth = True
        self.app.include_router(router)

    def admit(self, agent: str, public_key: bytes) -> bytes:
        """Lets the node of an agent in. Returns the header by which it is known.

        Raises:
            ValueError: the key is another one's.
        """
        self._nodes[agent] = self._state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public_key, LONGEST_ROUND_SECONDS, name=agent)
        return b64encode(public_key)

    def send(self, agent: str, stage: int, body: bytes, ttl_seconds: float) -> bool:
        """Puts a message where the agent's node gets it. Returns whether Flower takes it: not before the node has come."""
        metadata = Metadata(
            run_id=self._run,
            message_id="",
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=self._nodes[agent],
            reply_to_message_id="",
            group_id=str(stage),
            created_at=now().timestamp(),
            ttl=ttl_seconds,
            message_type=MESSAGE_TYPE,
        )
        message = make_message(metadata, RecordDict({RECORD: ConfigRecord({ENTRY: body})}))
        message_id = message.metadata.__dict__["_message_id"] = message.object_id
        session = self._state.start_session(self._run)
        with no_object_id_recompute():
            tree, objects = get_object_tree(message), get_all_nested_objects(message)
            taken, missing = self._state.store_message_and_object_tree(remove_content_from_message(message), tree, session)
            for object_id in missing:
                self._state.store_object(self._run, session, object_id, objects[object_id].deflate())
        if taken:
            self._asked[message_id] = agent, stage
            self._answers.ask(message_id, self._nodes[agent])
        return bool(taken)

    def collect(self) -> None:
        """Tells of the answers that have come whole."""
        self._arriving += self._state.get_message_res(set(self._asked), self._run) if self._asked else []
        for reply in list(self._arriving):
            asked = self._asked.get(reply.metadata.reply_to_message_id)
            frame = None if asked is None else self._frame(reply, *asked)
            if asked is None or frame is not None:
                self._arriving.remove(reply)
                self._forget(reply)
            if frame is not None:
                self._tell(frame)

    def beat(self) -> None:
        """Keeps the run alive."""
        self._state.acknowledge_task_heartbeat(self._task)

    async def _check(self, request: Request) -> int:
        if request.url.path == PULL:
            return await self._hold(request.headers[KEY_HEADER.decode()].encode())
        return 403 if request.url.path in PUSHES and not self._may_push(request.state.protobuf_request) else 0

    def _may_push(self, asked: PushMessagesRequest | PushObjectRequest) -> bool:
        if isinstance(asked, PushMessagesRequest):
            return self._may_announce(asked)
        return self._answers.may_bring(asked.node.node_id, asked.object_id, len(asked.object_content))

    def _may_announce(self, asked: PushMessagesRequest) -> bool:
        """Flower does not ask whether the node that brings an answer is the one that it says it is from."""
        if len(asked.messages_list) != 1 or len(asked.message_object_trees) != 1:
            return False
        node, told = asked.node.node_id, asked.messages_list[0].metadata
        ids = [each.object_id for each in iterate_object_tree(asked.message_object_trees[0])]
        return told.src_node_id == node and self._answers.may_announce(node, told.reply_to_message_id, told.message_id, ids)

    def _frame(self, reply: Message, agent: str, stage: int) -> Frame | None:
        """Returns what an answer says; None: parts of it are still to come."""
        if reply.has_error():
            return Frame(FrameKind.REFUSAL, stage, agent)
        try:
            tree = self._state.object_store.get_object_tree(reply.metadata.message_id)
        except NoObjectInStoreError:
            return Frame(FrameKind.REFUSAL, stage, agent)
        ids = [each.object_id for each in iterate_object_tree(tree)]
        contents = {object_id: content for object_id in ids if (content := self._state.get_object(self._run, object_id))}
        if len(contents) < len(set(ids)):
            return None
        return _read(reply, contents, agent, stage)

    def _forget(self, reply: Message) -> None:
        message_id = reply.metadata.reply_to_message_id
        self._asked.pop(message_id, None)
        self._state.delete_messages({message_id})
        for object_id in reversed(self._answers.object_ids(message_id)):  # what belongs to nothing would stay
            self._state.object_store.delete(object_id)


def _read(reply: Message, contents: dict[str, bytes], agent: str, stage: int) -> Frame:
    """An answer that is not as ours are counts as none."""
    try:
        message = inflate_object_from_contents(reply.metadata.message_id, contents)
        body = message.content.config_records[RECORD][ENTRY] if isinstance(message, Message) else None
    except (KeyError, ValueError, TypeError, AttributeError):
        body = None
    if not isinstance(body, bytes) or len(body) > MOST_BYTES:
        return Frame(FrameKind.REFUSAL, stage, agent)
    return Frame(FrameKind.ANSWER, stage, agent, body)


class _Inside:
    """Looks at requests whose node has proven who it is. Starlette's own base of such would cost a task and a stream for each.

    Args:
        app: what answers them.
        check: returns a status to refuse one with, or 0.
    """

    def __init__(self, app: ASGIApp, check: Callable[[Request], Awaitable[int]]) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        status = await self._check(Request(scope))
        if status:
            raise HTTPException(status)
        await self._app(scope, receive, send)
