"""What was published to a folder, as an agent reads it."""

from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from contract.blobs import unpack
from contract.release import Index, blob_path
from tests.fakes.releases import updater


class UsbStick(FetcherInterface):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Any:
        path = self._folder / url
        if not path.is_file():
            raise DownloadHTTPError(url, 404)
        return iter([path.read_bytes()])


def read_as_agent(mirror: Path, root: Path, scratch: Path, path: str) -> dict[str, bytes] | None:
    """Every file, verified from the root down to the last byte."""
    client = updater(scratch, root.read_bytes(), UsbStick(mirror))
    target = client.get_targetinfo(path)
    if target is None:
        return None
    index = Index.from_json(Path(client.download_target(target, str(scratch / "index.json"))).read_bytes())
    return {
        file.name: b"".join(unpack((mirror / blob_path(chunk.sha256)).read_bytes(), chunk.sha256) for chunk in file.chunks)
        for file in index.files
    }
