"""The agent's .deb is the same wherever it is built, and there is one for each machine."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.packaging.building import ELF_MACHINE, compiled, copy_source, libraries, machine, unpack

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Built:
    """Packages, built side by side: each waits for the network as much as it computes."""

    amd64: Path
    again: Path
    arm64: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    here, elsewhere = (copy_source(tmp_path_factory.mktemp(name)) for name in ("source", "elsewhere"))
    with ThreadPoolExecutor() as pool:
        amd64, again, arm64 = pool.submit(here.package), pool.submit(elsewhere.package, umask=0o077), pool.submit(here.package, "arm64")
        return Built(amd64.result(), again.result(), arm64.result())


def test_another_copy_and_another_umask_give_the_agents_package_the_same_bytes(built: Built) -> None:
    assert built.again.name == built.amd64.name
    assert built.again.read_bytes() == built.amd64.read_bytes()


def test_the_agents_package_for_arm64_holds_the_same_libraries_compiled_for_it(
    built: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    unpacked = {arch: unpack(package, tmp_path_factory.mktemp(arch)) for arch, package in (("amd64", built.amd64), ("arm64", built.arm64))}
    assert libraries(unpacked["arm64"]) == libraries(unpacked["amd64"])
    assert libraries(unpacked["amd64"])
    for arch, folder in unpacked.items():
        assert {machine(path) for path in compiled(folder)} == {ELF_MACHINE[arch]}
