"""The agent's .deb on a Debian 12 of its own, under a real systemd: what a technician does, and what can go wrong."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.packaging.building import BUNDLE, Source, copy_source
from tests.integration.packaging.machine import Machine, make_debian

UNIT = "seawall-agent.service"
ADDITION = f"etc/systemd/system/{UNIT}.d/test.conf"
QUESTION, ANSWER = "What is the boiling point of water?", "boiling point of water is"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
AS_HUB = ("setpriv", "--reuid=seawall-hub", "--regid=seawall-hub", "--init-groups", "env", "SEAWALL_HUB_DATA=/var/lib/seawall-hub")
MODELS = "var/lib/seawall/models"
PACKAGES = ("ca-certificates", "dbus", "mosquitto", "mosquitto-clients", "python3", "python3-venv", "systemd", "systemd-sysv")

pytestmark = [pytest.mark.system, pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def package(source: Source) -> Path:
    return source.package()


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_debian(tmp_path_factory.mktemp("debian") / "root", PACKAGES)


def boot(debian: Path, package: Path, folder: Path) -> Iterator[Machine]:
    machine = Machine(debian, folder / "machine")
    shutil.copy(package, machine.folder / "root" / "agent.deb")
    with machine:
        yield machine
    shutil.rmtree(machine.folder)


@pytest.fixture
def machine(debian: Path, package: Path, tmp_path: Path) -> Iterator[Machine]:
    """A new one, the package at hand."""
    yield from boot(debian, package, tmp_path)


@pytest.fixture(scope="module")
def site(debian: Path, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One with agent and model, running; a test leaves it so."""
    for machine in boot(debian, package, tmp_path_factory.mktemp("site")):
        put_model(machine)
        machine.run("dpkg", "--install", "/root/agent.deb")
        assert machine.show(UNIT, "ActiveState") == "active"
        yield machine


def put_model(machine: Machine) -> None:
    models = machine.folder / MODELS
    shutil.copytree(BUNDLE, models / BUNDLE.name)
    (models / "current").symlink_to(BUNDLE.name)


@contextmanager
def written(machine: Machine, files: dict[str, str]) -> Iterator[None]:
    """Writes files, and restarts the agent; afterwards all is as before."""
    before = {name: path.read_text() if (path := machine.folder / name).exists() else None for name in files}
    write(machine, files)
    try:
        yield
    finally:
        write(machine, before)


def write(machine: Machine, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = machine.folder / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)


def main_pid(machine: Machine) -> str:
    return machine.show(UNIT, "MainPID")


def send(machine: Machine, name: str, unit: str = UNIT) -> None:
    """Sends a signal to a unit's main process, and waits until another one has taken its place."""
    before = machine.show(unit, "MainPID")
    machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", unit)
    machine.wait_for(lambda: machine.show(unit, "MainPID") not in (before, "0") and machine.show(unit, "ActiveState") == "active")


def status(machine: Machine) -> dict[str, Any]:
    """What the agent says of itself; nothing while it is not up."""
    return dict(json.loads(machine.run("seawall-agent", "status", "--json", check=False).stdout or "{}"))


def ask(machine: Machine, *before: str) -> dict[str, Any]:
    return dict(json.loads(machine.run(*before, "seawall-agent", "ask", "--json", QUESTION).stdout))


def test_without_a_model_it_is_installed_not_started_and_says_why(machine: Machine) -> None:
    done = machine.run("dpkg", "--install", "/root/agent.deb")
    assert "no model yet" in done.stdout
    assert machine.show(UNIT, "ActiveState") == "inactive"
    assert machine.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"
    doctor = machine.run("seawall-agent", "doctor", check=False)
    assert doctor.returncode == 1
    assert "wrong model" in doctor.stdout


def test_an_agent_that_was_started_too_early_comes_up_by_itself_when_the_model_is_there(machine: Machine) -> None:
    machine.run("dpkg", "--install", "/root/agent.deb")
    machine.run("systemctl", "start", "--no-block", UNIT)
    machine.wait_for(lambda: machine.show(UNIT, "SubState") == "auto-restart")
    put_model(machine)
    machine.wait_for(lambda: machine.show(UNIT, "ActiveState") == "active")


def test_a_technician_sees_an_agent_that_is_well_and_anybody_may_ask_it(site: Machine) -> None:
    site.wait_for(lambda: status(site).get("mqtt") == "connected")
    doctor = site.run("seawall-agent", "doctor")
    assert "wrong" not in doctor.stdout
    assert doctor.stderr == ""
    assert ANSWER in ask(site, *NOBODY)["answer"]
    assert site.run(*NOBODY, "seawall-agent", "receipts", check=False).returncode == 1
    assert "local" in site.run("seawall-agent", "receipts").stdout


def test_a_device_gets_its_answer_over_mqtt(site: Machine) -> None:
    site.wait_for(lambda: status(site).get("mqtt") == "connected")
    topic = f"seawall/v1/agents/{status(site)['agent']}/clients/press"
    asking = ("mosquitto_rr", "-h", "127.0.0.1", "-V", "5", "-q", "1", "-W", "60", "-t", f"{topic}/prompts", "-e", f"{topic}/answers")
    assert ANSWER in site.run(*asking, "-m", json.dumps({"prompt": QUESTION})).stdout


def test_the_service_can_write_its_state_and_nothing_else_and_has_no_rights(site: Machine) -> None:
    status = dict(line.split(":", 1) for line in site.run("cat", f"/proc/{main_pid(site)}/status").stdout.splitlines())
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    files = site.run("find", "/var/lib/seawall-agent", "-printf", "%u %m %P\n").stdout.splitlines()
    assert files[0] == "seawall-agent 700 "
    assert all(line.split()[1] in ("600", "700") for line in files)
    mounts = site.run("cat", f"/proc/{main_pid(site)}/mounts").stdout.splitlines()
    writable = {line.split()[1] for line in mounts if line.split()[3].startswith("rw") and line.split()[2] == "ext4"}
    assert not {"/", "/etc", "/usr"} & writable


def test_a_killed_agent_is_back_and_has_forgotten_nothing(site: Machine) -> None:
    ask(site)
    with written(site, {ADDITION: "[Service]\nRestartSec=1\n"}):
        send(site, "SIGKILL")
        assert ask(site)["receipt"]["route"] == "cache"


def test_a_hanging_agent_is_ended_and_started_anew(site: Machine) -> None:
    with written(site, {ADDITION: "[Service]\nRestartSec=1\nWatchdogSec=4\nTimeoutAbortSec=2\n"}):
        send(site, "SIGSTOP")
    assert "Watchdog timeout" in site.run("journalctl", "--unit", UNIT).stdout


def test_it_starts_with_the_machine(site: Machine) -> None:
    site.halt()
    site.boot()
    site.wait_for(lambda: site.show(UNIT, "ActiveState") == "active")


def test_a_secret_reaches_the_agent_and_nobody_else(site: Machine) -> None:
    secrets = {"SEAWALL_AGENT_MQTT__USERNAME": "agent\n", "SEAWALL_AGENT_MQTT__PASSWORD": "sesame\n", "mqtt.key": "key\n"}
    with written(site, {f"etc/seawall/credentials/{name}": value for name, value in secrets.items()}):
        assert "SEAWALL_AGENT_MQTT__PASSWORD=sesame" in site.run("cat", f"/proc/{main_pid(site)}/environ").stdout.split("\0")
        key = f"/run/credentials/{UNIT}/secret_mqtt.key"
        agent = ("setpriv", "--reuid=seawall-agent", "--regid=seawall-agent", "--clear-groups")
        assert site.run(*agent, "cat", key).stdout == "key\n"
        assert site.run(*NOBODY, "cat", key, check=False).returncode == 1
        assert site.run(*NOBODY, "ls", "/etc/seawall/credentials", check=False).returncode != 0


def test_an_upgrade_keeps_configuration_and_state_and_restarts_the_agent(site: Machine) -> None:
    config = "etc/seawall/agent.toml"
    with written(site, {config: "[http]\nport = 8090\n"}):
        ask(site)
        before = main_pid(site)
        site.run("dpkg", "--install", "/root/agent.deb")
        assert (site.folder / config).read_text() == "[http]\nport = 8090\n"
        assert site.show(UNIT, "ActiveState") == "active"
        assert main_pid(site) != before
        assert ask(site)["receipt"]["route"] == "cache"


def test_an_agent_that_was_switched_off_stays_so_through_an_upgrade(site: Machine) -> None:
    site.run("systemctl", "disable", "--now", UNIT)
    site.run("dpkg", "--install", "/root/agent.deb")
    left = site.show(UNIT, "ActiveState"), site.run("systemctl", "is-enabled", UNIT, check=False).stdout.strip()
    site.run("systemctl", "enable", "--now", UNIT)
    assert left == ("inactive", "disabled")


def test_removal_keeps_what_is_the_sites_and_purging_leaves_the_user_and_the_model(machine: Machine) -> None:
    put_model(machine)
    machine.run("dpkg", "--install", "/root/agent.deb")
    machine.run("dpkg", "--remove", "seawall-agent")
    assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "inactive"
    assert (machine.folder / "etc/seawall/agent.toml").exists()
    assert (machine.folder / "var/lib/seawall-agent/data.key").exists()
    assert not (machine.folder / "usr/lib/seawall-agent").exists()
    machine.run("dpkg", "--purge", "seawall-agent")
    left = machine.run("find", "/etc", "/usr", "/var", "-path", "*seawall*", "-not", "-path", f"/{MODELS}/*").stdout.split()
    assert sorted(left) == ["/var/lib/seawall", f"/{MODELS}"]
    assert "seawall-agent" in machine.run("getent", "passwd", "seawall-agent").stdout


def test_lintian_finds_no_error(package: Path) -> None:
    assert shutil.which("lintian"), "apt-get install lintian"
    done = subprocess.run(["lintian", "--allow-root", "--fail-on=error", str(package)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def install_hub(machine: Machine, source: Source) -> None:
    """Does, line for line, what the install guide says, with packages that were fetched beforehand."""
    wheels = machine.folder / "root" / "wheels"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--require-hashes", f"--dest={wheels}"]
    subprocess.run([*fetch, f"--requirement={source.folder / 'requirements' / 'hub.txt'}"], check=True, capture_output=True)
    for name in ("dist", "packaging", "requirements"):
        shutil.copytree(source.folder / name, machine.folder / "root" / name)
    guide = (source.folder / "docs" / "runbooks" / "install.md").read_text().split("## The hub")[1]
    commands = [line.removeprefix("    ") for line in guide.splitlines() if line.startswith("    ")]
    script = "\n".join(["set -e", "cd /root", "export PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels", *commands])
    machine.run("sh", text=script)


def test_a_hub_installed_by_the_guide_serves_in_its_sandbox_and_enrols_the_agent(site: Machine, source: Source) -> None:
    install_hub(site, source)
    assert site.show("seawall-hub", "ActiveState") == "active"
    token = site.run(*AS_HUB, "/opt/seawall-hub/bin/seawall-hub", "join-token").stdout
    assert "Enrolled as" in site.run("seawall-agent", "enroll", "-", "--hub", "hub.example.org", text=token).stdout
    site.run("systemctl", "restart", UNIT)
    site.wait_for(lambda: status(site).get("hub") == "connected")
    send(site, "SIGKILL", "seawall-hub.service")
    site.wait_for(lambda: status(site).get("hub") == "connected")
