"""The data folder of `benchmarks/fleet.py`'s hub, with a fleet that is enrolled already: by the hub's own CA, in the hub's own store."""

import asyncio
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from agent.identity.files import Identity
from contract.identity import SpiffeId, key_hash
from hub import folder as data_folder
from hub.clock import utc_now
from hub.fleet.certificates import CertificateAuthority, certificate_der, public_key_der
from hub.folder import DataFolder
from hub.store import agents
from hub.store.agents import AgentRecord
from hub.store.database import Database

TRUST_DOMAIN = "bench.internal"
LIFE = timedelta(days=30)


def enroll_all(path: Path, count: int) -> list[Identity]:
    """Makes the folder, and so many agents. The hub's address is not known yet, and empty.

    Args:
        path: of the folder, which is not there yet.
        count: of the agents.
    """
    folder = DataFolder(path)
    data_folder.create(folder, TRUST_DOMAIN, [], utc_now)
    authority = folder.load_ca(TRUST_DOMAIN, utc_now)
    ca_pem = folder.ca.read()[1]
    made = [_enroll(f"agent-{number:05}", authority, ca_pem) for number in range(count)]
    asyncio.run(_keep(folder, [record for _, record in made]))
    return [identity for identity, _ in made]


def _enroll(agent_id: str, authority: CertificateAuthority, ca_pem: bytes) -> tuple[Identity, AgentRecord]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.issue_client(key.public_key(), SpiffeId(TRUST_DOMAIN, "agent", agent_id), LIFE)
    digest = key_hash(public_key_der(key.public_key()))
    record = AgentRecord(agent_id, digest, certificate_der(certificate), authority.clock(), certificate.not_valid_after_utc)
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate_pem = certificate.public_bytes(serialization.Encoding.PEM)
    return Identity(agent_id, TRUST_DOMAIN, "", key_pem, certificate_pem, ca_pem), record


async def _keep(folder: DataFolder, records: list[AgentRecord]) -> None:
    database = await asyncio.to_thread(Database.open, folder.database_url)

    def work(connection: Connection) -> None:
        for record in records:
            agents.insert(connection, record)

    await database.write(work)
    database.close()
