"""Flower's .deb on a real Debian, under a real systemd: the agent finds it, and its child can live in the agent's sandbox."""

import ipaddress
import re
import shutil
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hub.clock import utc_now
from hub.learning.certificate import round_certificate
from tests.fakes.hub import key_pem
from tests.integration.packaging.building import copy_source
from tests.integration.packaging.machine import Machine, make_debian

UNIT = "seawall-agent.service"
LOOPBACK = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])

DOOR = """
import http.server, os, pathlib, ssl
class Closed(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 7446), Closed)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/opt/hub.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
os.system("systemd-notify --ready")
server.serve_forever()
"""
"""A hub that lets nobody in, but says so."""

ROUND = """
import asyncio, pathlib
from agent.learning.carrier import Target, carry
async def answer(message):
    return message
target = Target("127.0.0.1:7446", pathlib.Path("/opt/hub.crt").read_bytes(), pathlib.Path("/opt/node.pem").read_bytes())
asyncio.run(carry(target, answer, 60))
"""
"""What the agent does in a round."""

ONCE = {"Type": "oneshot", "ExecStart": "/usr/lib/seawall-agent/bin/python3 -I /opt/round.py", "Restart": "no", "WatchdogSec": "0"}

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One with the agent, whose owner wants it to take part, and Flower's package at hand."""
    source = copy_source(tmp_path_factory.mktemp("source"))
    debian = make_debian(tmp_path_factory.mktemp("debian") / "root", ("dbus", "python3", "systemd", "systemd-sysv"))
    machine = Machine(debian, tmp_path_factory.mktemp("site") / "machine")
    shutil.rmtree(debian)
    for which in ("agent", "learning"):
        shutil.copy(source.package(which=which), machine.folder / "root" / f"{which}.deb")
    with machine:
        machine.run("dpkg", "--install", "/root/agent.deb")
        (machine.folder / "etc/seawall/agent.toml").write_text("[learning]\nenabled = true\n")
        yield machine
    shutil.rmtree(machine.folder)


def doctor(machine: Machine) -> str:
    (line,) = [line for line in machine.run("seawall-agent", "doctor", check=False).stdout.splitlines() if " learning: " in line]
    return " ".join(line.split())


@pytest.fixture
def installed(machine: Machine) -> Machine:
    machine.run("dpkg", "--install", "/root/learning.deb")
    return machine


def test_an_agent_without_the_package_says_what_to_install_and_the_next_look_finds_it(machine: Machine) -> None:
    assert doctor(machine) == "wrong learning: on, but Flower is not installed: apt install seawall-agent-learning"
    machine.run("dpkg", "--install", "/root/learning.deb")
    assert doctor(machine) == "ok learning: on"


def test_the_child_has_in_the_agents_sandbox_all_that_it_needs(installed: Machine) -> None:
    """It is started as for a round, reaches a hub over TLS, and hears that it may not come in."""
    key, certificate = round_certificate(LOOPBACK, utc_now())
    files = {"hub.pem": key + certificate, "hub.crt": certificate, "node.pem": key_pem(ec.generate_private_key(ec.SECP256R1()))}
    for name, content in {**files, "door.py": DOOR.encode(), "round.py": ROUND.encode()}.items():
        (installed.folder / "opt" / name).write_bytes(content)
    unit = (installed.folder / "usr/lib/systemd/system" / UNIT).read_text()
    for setting, value in ONCE.items():
        unit = re.sub(f"^{setting}=.*$", f"{setting}={value}", unit, flags=re.MULTILINE)
    (installed.folder / "etc/systemd/system/round.service").write_text(unit)
    installed.run("systemctl", "daemon-reload")
    installed.run("systemd-run", "--unit=door", "--property=Type=notify", "--property=NotifyAccess=all", "python3", "/opt/door.py")
    assert installed.run("systemctl", "start", "round.service", check=False).returncode != 0
    told = installed.run("journalctl", "--unit=round.service", "--output=cat").stdout
    assert "the hub has not let this node in" in told, told
    assert "Error at" not in told, told
    installed.run("systemctl", "stop", "door.service")


def test_removing_it_leaves_nothing_of_it_and_the_agent_goes_on(installed: Machine) -> None:
    installed.run("dpkg", "--purge", "seawall-agent-learning")
    assert not (installed.folder / "usr/lib/seawall-agent-learning").exists()
    assert "not installed" in doctor(installed)
