"""What a device is known by, without a hub."""

from agent.identity.files import Identity
from tests.fakes.tls import Authority

AUTHORITY = Authority()


def identity(agent_id: str = "till-1") -> Identity:
    """An identity whose certificate is another one each time."""
    pair = AUTHORITY.issue()
    return Identity(agent_id, "seawall.test", "127.0.0.1:7444", pair.key_pem, pair.certificate_pem, AUTHORITY.pem)
