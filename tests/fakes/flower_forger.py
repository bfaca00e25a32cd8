"""What a device could send with the key that it was let in with, and ours does not."""

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.proto.message_pb2 import ObjectTree, PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)

from agent.learning.flower_child import Fleet
from contract.carrying import ENTRY, RECORD


def record(body: bytes) -> RecordDict:
    """Returns what an answer has within."""
    return RecordDict({RECORD: ConfigRecord({ENTRY: body})})


class Forged:
    """A device's answer to a message.

    Args:
        node: of the device.
        asked: the message.
        body: of the answer.
    """

    def __init__(self, node: Fleet, asked: Message, body: bytes = b"answer") -> None:
        self._node = node
        self._run = asked.metadata.run_id
        answer = Message(record(body), reply_to=asked)
        answer.metadata.__dict__["_message_id"] = answer.object_id
        with no_object_id_recompute():
            self.tree = get_object_tree(answer)
            self.objects: dict[str, InflatableObject] = get_all_nested_objects(answer)
            self.head = message_to_proto(remove_content_from_message(answer))

    def with_more(self, *children: ObjectTree) -> ObjectTree:
        """Returns its tree with more in it."""
        return ObjectTree(object_id=self.tree.object_id, children=[*self.tree.children, *children])

    def announce(self, tree: ObjectTree | None = None) -> PushMessagesResponse:
        """Says that it comes with these objects."""
        asked = PushMessagesRequest(node=self._node._node, messages_list=[self.head], message_object_trees=[tree or self.tree])
        return self._node._client.PushMessages(asked)

    def give(self) -> None:
        """Answers as an honest device does."""
        announced = self.announce()
        for object_id in announced.objects_to_push:
            self.bring(object_id, self.objects[object_id].deflate(), announced.session_id)

    def bring(self, object_id: str, content: bytes, session: str) -> bool:
        """Brings an object. Returns whether Flower keeps it."""
        asked = PushObjectRequest(node=self._node._node, run_id=self._run, object_id=object_id, object_content=content, session_id=session)
        return self._node._client.PushObject(asked).stored
