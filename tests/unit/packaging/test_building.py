"""The parts of the package's builder."""

import gzip
import importlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

DEB = Path(__file__).resolve().parents[3] / "packaging" / "deb"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DEB)


@pytest.fixture
def builder() -> Any:
    return importlib.import_module("build")


@pytest.fixture
def environment() -> Any:
    return importlib.import_module("environment")


@pytest.fixture
def documents() -> Any:
    return importlib.import_module("documents")


def library(site: Path, name: str, metadata: str) -> None:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{metadata}\n")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (("0.2.0rc1", "python3.11"), ("0.2.0", "python3.11")),
        (("0.2.0.dev3", "python3.11"), ("0.2.0a1", "python3.11")),
        (("0.2.0", "python3.11"), ("0.2.0", "python3.12")),
        (("0.2.0", "python3.13"), ("0.2.1rc1", "python3.11")),
    ],
)
def test_versions_sort_as_they_follow_each_other(builder: Any, older: tuple[str, str], newer: tuple[str, str]) -> None:
    versions = builder.debian_version(*older), builder.debian_version(*newer)
    assert subprocess.run(["dpkg", "--compare-versions", versions[0], "lt", versions[1]], check=False).returncode == 0, versions


def test_the_copyright_file_takes_a_licence_from_wherever_it_is_told(documents: Any, tmp_path: Path) -> None:
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    library(site, "new", "License-Expression: MIT")
    library(site, "old", "License: BSD")
    library(site, "classified", "Classifier: License :: OSI Approved :: ISC License")
    library(site, "silent", "Summary: none")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog")
    documents.write_documents(tmp_path / "doc", "seawall-agent", site, "1.0-1", 1790000000, tmp_path / "CHANGELOG.md")
    text = (tmp_path / "doc" / "copyright").read_text()
    assert text.splitlines()[-4:] == ["classified 1.0: ISC License", "new 1.0: MIT", "old 1.0: BSD", "silent 1.0: see its folder"]
    assert "/usr/lib/seawall-agent/lib/python3.11/site-packages" in text


def test_the_changelog_is_one_that_debians_tools_read(documents: Any, tmp_path: Path) -> None:
    site = tmp_path / "site" / "lib" / "python"
    site.mkdir(parents=True)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog")
    documents.write_documents(tmp_path / "doc", "seawall-agent-learning", site, "1.2-1", 1790000000, tmp_path / "CHANGELOG.md")
    (tmp_path / "changelog").write_bytes(gzip.decompress((tmp_path / "doc" / "changelog.Debian.gz").read_bytes()))
    told = subprocess.run(
        ["dpkg-parsechangelog", "--file", str(tmp_path / "changelog"), "--all"], check=True, capture_output=True, text=True
    )
    assert told.stderr == ""
    assert "Source: seawall-agent-learning" in told.stdout
    assert "Version: 1.2-1" in told.stdout
    assert "Timestamp: 1790000000" in told.stdout


def test_a_tidied_folder_has_one_time_and_one_mode(environment: Any, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir(mode=0o700)
    (tmp_path / "inner" / "file").touch(mode=0o755)
    environment.tidy(tmp_path, 1790000000)
    inner, file = (tmp_path / "inner").stat(), (tmp_path / "inner" / "file").stat()
    assert (inner.st_mode & 0o777, file.st_mode & 0o777) == (0o755, 0o644)
    assert inner.st_mtime == file.st_mtime == 1790000000
