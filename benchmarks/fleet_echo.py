"""The floor of `benchmarks/fleet.py`: a bare grpc.aio server that answers the same messages over the same mTLS, and does nothing else.

    python -m benchmarks.fleet_echo DATA HEARTBEAT_SECONDS

It has the hub's transport options, so that both send the same keepalive pings, and the cheapest way of reading and writing: no generator,
no interceptor.
"""

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from hub.config import Limits
from hub.folder import DataFolder
from hub.listeners import listener_options
from seawall.hub.v1 import session_pb2 as pb
from seawall.hub.v1 import session_pb2_grpc


class Echo(session_pb2_grpc.SessionServiceServicer):
    """Welcomes, and answers heartbeats.

    Args:
        interval: of heartbeats, for Welcome.
    """

    def __init__(self, interval: timedelta) -> None:
        self._welcome = pb.Welcome()
        self._welcome.heartbeat_interval.FromTimedelta(interval)

    async def Connect(  # type: ignore[override]  # noqa: N802  # the stubs know generators alone; the proto's name
        self, request_iterator: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Answers every message."""
        del request_iterator
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.WhichOneof("message") == "heartbeat":
                await context.write(pb.ConnectResponse(heartbeat=pb.HeartbeatReply(number=request.heartbeat.number)))
            else:
                await context.write(pb.ConnectResponse(welcome=self._welcome))


async def serve(folder: DataFolder, interval: timedelta) -> None:
    """Serves until SIGTERM."""
    server = grpc.aio.server(options=listener_options(Limits()))
    session_pb2_grpc.add_SessionServiceServicer_to_server(Echo(interval), server)
    (key, certificate), ca_certificate = folder.server.read(), folder.ca.read()[1]
    credentials = grpc.ssl_server_credentials([(key, certificate + ca_certificate)], ca_certificate, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"echo 127.0.0.1:{port} (mutual TLS)\nReady", flush=True)
    await stopped.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(DataFolder(Path(sys.argv[1])), timedelta(seconds=float(sys.argv[2]))))
