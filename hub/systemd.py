"""What a service tells systemd (sd_notify(3)). Elsewhere it does nothing."""

import socket


def notify(state: str, address: str | None) -> None:
    """Sends a state.

    Args:
        state: such as `READY=1`.
        address: $NOTIFY_SOCKET; None: nobody listens.
    """
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
