"""Whether a version can be rolled out: whether agents are shown its index."""

from sqlalchemy import Connection

from contract.release import target_path
from hub.release.metadata import Current

ROLE = "models"


def is_published(connection: Connection, model: str, version: str) -> bool:
    """Says whether the current metadata of the role models, signed by enough of its keys, name a version."""
    current = Current.read(connection)
    metadata = current.of(ROLE) if current.fits() else None
    return metadata is not None and target_path(ROLE, model, version) in metadata.signed.targets
