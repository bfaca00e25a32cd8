"""Another user, who may not look into this one's folders."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def closed_to_us(folder: Path) -> Iterator[None]:
    """Makes a folder one that this process may not look into. Root may look into all, so it becomes another user meanwhile."""
    folder.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)
        folder.chmod(0o700)
