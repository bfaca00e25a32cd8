"""The agent's .deb: built, unpacked over this machine's /usr for one process, run."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.packaging.building import BUNDLE, Source, compiled, copy_source, field, libraries, unpack
from tests.integration.packaging.running import RunningAgent

LIBRARY = Path("usr/lib/seawall-agent")
UNIT = Path("usr/lib/systemd/system/seawall-agent.service")

pytestmark = pytest.mark.timeout(300)


FORBIDDEN = {
    "alembic",
    "anthropic",
    "flwr",
    "grpcio-health-checking",
    "grpcio-reflection",
    "openai",
    "optimum",
    "purgatory",
    "sqlalchemy",
    "torch",
    "transformers",
}
LIMIT_BYTES = 450_000_000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def package(source: Source) -> Path:
    return source.package()


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(package, tmp_path_factory.mktemp("unpacked"))


def installed(unpacked: Path, *command: str) -> list[str]:
    """Returns the command to be run where the package's /usr lies over this machine's: for this one process, and without installing it."""
    own = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'mount -t overlay overlay -o "lowerdir=$0:/usr" /usr && exec "$@"'
    return ["unshare", *own, "--mount", "sh", "-c", script, str(unpacked / "usr"), *command]


def run_installed(unpacked: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(installed(unpacked, *command), check=False, capture_output=True, text=True, timeout=60)


def test_a_machine_that_no_package_is_for_is_refused_with_those_there_are(source: Source) -> None:
    done = source.make("package", "ARCH=armhf")
    assert done.returncode != 0
    assert "no package for armhf" in done.stderr
    assert "ARCH=amd64 or ARCH=arm64" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_depends_on_the_one_python_that_its_modules_are_compiled_for(package: Path, unpacked: Path) -> None:
    tags = {found[1] for path in compiled(unpacked) if (found := re.search(r"\.cpython-(3\d+)-", path.name))}
    (tag,) = tags
    assert f"python3.{tag[1:]}" in field(package, "Depends").split(", ")
    assert (unpacked / LIBRARY / "bin" / "python3").readlink() == Path(f"/usr/bin/python3.{tag[1:]}")


def test_it_holds_the_agent_and_nothing_of_the_hub_the_tests_or_an_installer(unpacked: Path) -> None:
    (site,) = unpacked.glob(f"{LIBRARY}/lib/python3*/site-packages")
    ours = {path.name for path in site.iterdir()}
    assert {"agent", "contract", "seawall"} <= ours
    assert not ours & {"hub", "models", "pip", "bin", "sqlalchemy", "openai"}
    assert not [path for path in site.rglob("*") if path.name in ("__pycache__", "tests", "RECORD")]
    assert not {name.split("-")[0].lower().replace("_", "-") for name in libraries(unpacked)} & FORBIDDEN


def test_it_stays_small(unpacked: Path) -> None:
    assert sum(file.stat().st_size for file in unpacked.rglob("*") if file.is_file() and not file.is_symlink()) < LIMIT_BYTES


def test_the_agent_starts_from_it_and_says_what_is_missing(unpacked: Path, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'state_folder = "{tmp_path / "state"}"\n[model]\nbundle = "{tmp_path / "none"}"\n')
    done = run_installed(unpacked, "/usr/lib/seawall-agent/bin/seawall-agent", "run", "--config", str(config))
    assert done.returncode == 1
    assert "model bundle" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_in_it_names_the_machine_that_built_it(unpacked: Path, source: Source) -> None:
    told = [path for path in unpacked.rglob("*") if path.is_file() and str(source.folder).encode() in path.read_bytes()]
    assert told == []


def test_the_shipped_configuration_changes_nothing_and_survives_an_upgrade(package: Path, unpacked: Path) -> None:
    content = tomllib.loads((unpacked / "etc/seawall/agent.toml").read_text())
    assert not any(content.values())
    files = subprocess.run(["dpkg-deb", "--info", str(package), "conffiles"], check=True, capture_output=True, text=True).stdout
    assert files.split() == ["/etc/seawall/agent.toml"]


def test_the_folder_for_secrets_is_roots_alone(unpacked: Path) -> None:
    assert (unpacked / "etc/seawall/credentials").stat().st_mode & 0o777 == 0o700


def test_every_library_is_named_with_a_licence(unpacked: Path) -> None:
    text = (unpacked / "usr/share/doc/seawall-agent/copyright").read_text()
    lines = [line.split(": ", 1) for line in text.split("\n\n", 2)[2].splitlines()]
    assert len(lines) == len(libraries(unpacked))
    assert all(licence.strip() for _, licence in lines)


def test_systemd_takes_the_unit_and_the_jetsons_addition_without_a_word(unpacked: Path) -> None:
    unit = f"/{UNIT}"
    done = run_installed(unpacked, "systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")
    addition = unpacked / f"{UNIT}.d"
    addition.mkdir()
    (addition / "jetson.conf").write_bytes((unpacked / "usr/share/doc/seawall-agent/examples/jetson.conf").read_bytes())
    assert run_installed(unpacked, "systemd-analyze", "verify", "--man=no", unit).stderr == ""
    (addition / "fault.conf").write_text("[Service]\nProtectEverything=yes\n")
    assert "ProtectEverything" in run_installed(unpacked, "systemd-analyze", "verify", "--man=no", unit).stderr
    (addition / "jetson.conf").unlink()
    (addition / "fault.conf").unlink()
    addition.rmdir()


@dataclass(frozen=True)
class Device:
    """The folders of a device, and the agent installed on it, started by the unit's own command line."""

    home: Path
    state: Path
    agent: RunningAgent


def start(unpacked: Path, folder: Path) -> Device:
    home, state, credentials, config = (folder / name for name in ("home", "state", "credentials", "agent.toml"))
    home.mkdir()
    credentials.mkdir()
    (credentials / "secret_SEAWALL_AGENT_MQTT__USERNAME").write_text("agent\n")
    (credentials / "secret_SEAWALL_AGENT_MQTT__PASSWORD").write_text("sesame\n")
    config.write_text(f'[model]\nbundle = "{BUNDLE}"\n[http]\nport = 0\n[mqtt]\nport = 9\n')
    (command,) = re.findall("^ExecStart=(.*)$", (unpacked / UNIT).read_text(), re.MULTILINE)
    environment = {"HOME": str(home), "STATE_DIRECTORY": str(state), "CREDENTIALS_DIRECTORY": str(credentials)}
    agent = RunningAgent(
        installed(unpacked, *command.split(), "--config", str(config)), environment | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    return Device(home, state, agent)


@pytest.fixture(scope="module")
def device(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    assert BUNDLE.is_dir(), "the model is not built: run `make model` first"
    device = start(unpacked, tmp_path_factory.mktemp("device"))
    yield device
    assert device.agent.stop() == 0


@pytest.mark.model
def test_the_installed_agent_answers_a_prompt_with_the_real_model(device: Device) -> None:
    assert "boiling point of water is" in device.agent.ask("What is the boiling point of water?")


@pytest.mark.model
def test_its_state_is_private_and_it_leaves_nothing_elsewhere(device: Device) -> None:
    assert device.state.stat().st_mode & 0o777 == 0o700
    assert list(device.home.iterdir()) == []  # ONNX Runtime's telemetry would have put a device id there


@pytest.mark.model
def test_a_secret_that_systemd_hands_over_reaches_the_settings(device: Device) -> None:
    assert device.agent.environment()["SEAWALL_AGENT_MQTT__PASSWORD"] == "sesame"


def test_the_command_of_the_technician_says_its_version(unpacked: Path) -> None:
    done = run_installed(unpacked, "/usr/lib/seawall-agent/bin/seawall-agent", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seawall-agent ")
