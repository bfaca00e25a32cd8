"""seawall.hub.v1.EventService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from hub.api.paging import fitting, page_size, page_token, read_number_token
from hub.fleet.events import Journal
from hub.fleet.messages import timestamp
from hub.store.events import EventRecord
from seawall.hub.v1 import event_pb2, event_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class EventServicer(event_pb2_grpc.EventServiceServicer):
    """Tells what happens.

    Args:
        journal: of all events.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def WatchEvents(  # noqa: N802  # the proto's name
        self, request: event_pb2.WatchEventsRequest, context: Context
    ) -> AsyncIterator[event_pb2.WatchEventsResponse]:
        """See the proto."""
        del context
        after = request.after_sequence if request.HasField("after_sequence") else None
        async with aclosing(self._journal.watch(after)) as happened:
            async for event, sequence in happened:
                yield event_pb2.WatchEventsResponse(event=None if event is None else _message(event), sequence=sequence)

    async def ListEvents(  # noqa: N802  # the proto's name
        self, request: event_pb2.ListEventsRequest, context: Context
    ) -> event_pb2.ListEventsResponse:
        """See the proto."""
        del context
        size = page_size(request.page_size)
        after = max(request.after_sequence, read_number_token(request.page_token) or 0)
        records = await self._journal.page(after, size + 1)
        shown = fitting(_message(record) for record in records[:size])
        return event_pb2.ListEventsResponse(
            events=shown,
            next_page_token=page_token(str(shown[-1].sequence)) if len(records) > len(shown) else "",
        )


def _message(record: EventRecord) -> event_pb2.Event:
    return event_pb2.Event(
        sequence=record.sequence,
        create_time=timestamp(record.create_time),
        type=record.type,
        subject=record.subject,
        actor=record.actor,
        detail=record.detail,
    )
