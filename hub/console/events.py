"""seawall-hub events."""

import json
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict

from hub.config import DEFAULT_DATA
from hub.console.options import Config, Data, Output, Shown, minute, plain, print_all, reach
from seawall.hub.v1 import event_pb2

app = typer.Typer(help="What has happened in the fleet.", no_args_is_help=True)


@app.command("list", epilog="Example: seawall-hub events list --after 1200")
def list_events(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    after: Annotated[int, typer.Option(help="Behind this sequence. 0: from the oldest that is kept.", min=0)] = 0,
    output: Shown = Output.TABLE,
) -> None:
    """Lists events, the oldest first."""
    request = event_pb2.ListEventsRequest(page_size=1000, after_sequence=after)
    with reach(data, config) as operator:
        found = operator.pages(operator.events.ListEvents, request, "events")
    rows = [(str(event.sequence), minute(event.create_time), event.type, event.subject, event.actor, event.detail) for event in found]
    print_all(found, output, ("#", "Time", "What", "Of", "By", "Detail"), rows, "times in UTC")


@app.command("watch", epilog="Example: seawall-hub events watch --after 1200 --output json")
def watch_events(
    data: Data = DEFAULT_DATA,
    config: Config = None,
    after: Annotated[int | None, typer.Option(help="Behind this sequence. [default: from now on]", min=0)] = None,
    output: Shown = Output.TABLE,
) -> None:
    """Prints events as they happen, a line each, until Ctrl-C."""
    with reach(data, config) as operator:
        for response in operator.stream(operator.events.WatchEvents, event_pb2.WatchEventsRequest(after_sequence=after)):
            if response.HasField("event"):
                typer.echo(_line(response.event, output))


def _line(event: event_pb2.Event, output: Output) -> str:
    if output is Output.JSON:
        return json.dumps(MessageToDict(event))
    parts = (str(event.sequence), minute(event.create_time), event.type, event.subject, event.detail)
    return plain(" ".join(part for part in parts if part))
