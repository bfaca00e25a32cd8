"""The nonces of recoveries that were spent, until they would be too old anyway."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, select

from hub.store.tables import spent_nonces


def spend(connection: Connection, nonce: bytes, *, expire_time: datetime, now: datetime) -> bool:
    """Marks a nonce as spent, and forgets the expired ones. Returns False if it was spent before."""
    connection.execute(delete(spent_nonces).where(spent_nonces.c.expire_time < now))
    if connection.scalar(select(exists().where(spent_nonces.c.nonce == nonce))):
        return False
    connection.execute(spent_nonces.insert().values(nonce=nonce, expire_time=expire_time))
    return True
