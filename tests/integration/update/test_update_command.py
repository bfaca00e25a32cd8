"""An update that a technician starts: a ceremony, a hub and an agent as people run them."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
from onnx import helper

from agent.inference.loading import load_bundle
from agent.intake.settings import HttpSettings
from agent.local_client import LocalClient
from agent.update.slots import Slots
from contract.bundle import Bundle, FileEntry, Shape, Source
from contract.errors import Unavailable
from tests.fakes.commands import run_command
from tests.fakes.hub_process import HubProcess, run_hub, serving
from tests.fakes.tls import Authority, Pair, free_port
from tests.fakes.versions import make_version

SECONDS = 120
BUNDLE = Path(__file__).resolve().parents[3] / "build" / "models" / "smollm2-135m-instruct-int8"
COMMON_BYTES, OWN_BYTES = 3_000_000, 2_000_000


def command(program: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    fixed = {"SEAWALL_PASSPHRASE": "correct horse", "COLUMNS": "200"}
    return run_command(program, *arguments, seconds=SECONDS, **(fixed | variables))


def models(*arguments: str | Path) -> str:
    result = command("models", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def key(ceremony: Path, role: str) -> Path:
    return next((ceremony / "keys").glob(f"{role}-*.pem"))


def make_bundle(folder: Path, model: str, version: str) -> Path:
    """A whole bundle whose model nobody can run. Most of its weights are those of all others."""
    folder.mkdir()
    files = {
        "model.onnx": helper.make_model(helper.make_graph([], "none", [], [])).SerializeToString(),
        "model.onnx.data": Random(0).randbytes(COMMON_BYTES) + Random(model + version).randbytes(OWN_BYTES),
        "tokenizer.json": b"{}",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    entries = {name: FileEntry(sha256(content).hexdigest(), len(content)) for name, content in files.items()}
    source, shape = Source("test", model, version, ""), Shape(1, 1, 8, 16, 4096)
    (folder / "bundle.json").write_bytes(
        Bundle(model, version, "int8", "Apache-2.0", source, shape, "{{ messages }}", (0,), entries).to_json()
    )
    return folder


@dataclass(frozen=True)
class Distribution:
    """A hub with a trust and a publisher, in a folder."""

    folder: Path
    hub: HubProcess


class Site:
    """A device that is enrolled, and a hub that it has from others: a test publishes a model of its own name there."""

    def __init__(self, folder: Path, distribution: Distribution, model: str) -> None:
        self.folder = folder
        self.hub = distribution.hub
        self.ceremony = distribution.folder / "ceremony"
        self.publisher = distribution.folder / "publisher"
        self.model = model
        self.state = folder / "state"
        self.port = free_port()
        self.bundle = folder / "none"
        self.root = self.ceremony / "metadata" / "1.root.json"
        self.follows: dict[str, str] = {}

    def publish_version(self, version: str) -> Path:
        """Makes a bundle and publishes it."""
        bundle = make_bundle(self.folder / version, self.model, version)
        self.publish(bundle, version)
        return bundle

    def publish(self, bundle: Path, version: str, role: str = "models", *more: str) -> None:
        to = ("--hub", self.hub.mtls, "--identity", self.publisher)
        models("publish", bundle, "--version", version, "--root", self.root, "--key", key(self.ceremony, role), *to, *more)

    def publish_policy(self, version: str, text: str) -> None:
        """Publishes a policy of this site's own name."""
        folder = self.folder / f"policy-{version}"
        folder.mkdir()
        (folder / "policy.cedar").write_text(text)
        self.publish(folder, version, "policies", "--role", "policies", "--name", self.model)

    def enroll(self, *more: str) -> None:
        ports = ("--enrollment-port", self.hub.enrollment.rpartition(":")[2], "--port", self.hub.mtls.rpartition(":")[2])
        enrolled = self.agent("enroll", self.hub.join_token(), "--hub", "127.0.0.1", *ports, *more)
        assert enrolled.returncode == 0, enrolled.stderr

    def change_identity(self, **fields: str) -> None:
        """As if the device had been enrolled otherwise."""
        file = self.state / "identity" / "identity.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    def environment(self) -> dict[str, str]:
        return {
            "SEAWALL_AGENT_AGENT_ID": self.model,
            "SEAWALL_AGENT_STATE_FOLDER": str(self.state),
            "SEAWALL_AGENT_MODEL__BUNDLE": str(self.bundle),
            "SEAWALL_AGENT_HTTP__PORT": str(self.port),
            "SEAWALL_AGENT_MQTT__PORT": str(free_port()),
            **self.follows,
        }

    def agent(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return command("agent", *arguments, **self.environment(), **variables)

    def updated(self, *arguments: str | Path, **variables: str) -> dict[str, Any]:
        result = self.agent("update", "--json", *arguments, **variables)
        assert result.returncode == 0, result.stderr
        outcome = json.loads(result.stdout.splitlines()[-1])
        assert isinstance(outcome, dict)
        return outcome

    def refused(self, *arguments: str | Path, **variables: str) -> str:
        """The one line that says why."""
        result = self.agent("update", *arguments, **variables)
        assert result.returncode == 1, result.stdout
        assert not result.stdout
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, result.stderr
        return lines[0]

    def serves(self) -> tuple[str, str]:
        """What the next start would find: the version, every byte of which is verified, and its slot."""
        slots = Slots(self.state / "models" / "slots")
        started = slots.start()
        assert started.problems == ()
        assert started.index is not None
        assert started.bundle is not None
        load_bundle(started.bundle)
        return started.index.version, slots.record.current

    def prove(self) -> None:
        slots = Slots(self.state / "models" / "slots")
        slots.start()
        slots.prove()

    @contextmanager
    def running_agent(self) -> Iterator[LocalClient]:
        """The agent as a process of its own, once it answers."""
        client = LocalClient(HttpSettings(port=self.port))
        with (self.folder / "agent.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "agent", "run"], stderr=log, env={**os.environ, **self.environment()})
        try:
            while not answers(client):
                assert process.poll() is None, (self.folder / "agent.log").read_text()
                time.sleep(0.1)
            yield client
        finally:
            process.terminate()
            process.wait(SECONDS)


def answers(client: LocalClient) -> bool:
    try:
        return bool(client.health()["ok"])
    except Unavailable:
        return False


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    folder = tmp_path_factory.mktemp("distribution")
    data = folder / "hub"
    assert run_hub("init", "--data", str(data)).returncode == 0
    (folder / "hub.json").write_text(run_hub("trust", "request", "--data", str(data)).stdout)
    models("trust", "init", folder / "ceremony", "--online-keys", folder / "hub.json")
    with serving(data) as hub:
        assert hub.operate("trust", "import", str(folder / "ceremony" / "metadata")).returncode == 0
        assert run_hub("trust", "publisher", "builder", str(folder / "publisher"), "--data", str(data)).returncode == 0
        yield Distribution(folder, hub)


@pytest.fixture
def site(tmp_path: Path, distribution: Distribution) -> Site:
    made = Site(tmp_path, distribution, f"tiny-{sha256(str(tmp_path).encode()).hexdigest()[:8]}")
    made.enroll()
    return made


@pytest.fixture
def stick(tmp_path: Path, site: Site) -> Path:
    """A folder with a trust of its own, and version 9.0.0."""
    folder, ceremony = tmp_path / "stick", tmp_path / "stick-ceremony"
    models("trust", "init", ceremony)
    folder.mkdir()
    shutil.copytree(ceremony / "metadata", folder / "metadata")
    to = ("--to", folder, "--online-key", key(ceremony, "online"), "--root", folder / "metadata" / "1.root.json")
    models("publish", make_bundle(tmp_path / "nine", site.model, "9.0.0"), "--version", "9.0.0", "--key", key(ceremony, "models"), *to)
    return folder


def test_what_is_published_is_brought_and_serves_from_the_next_start_on(site: Site) -> None:
    site.publish_version("1.9.0")
    assert "--model" in site.refused()
    first = site.updated("--model", site.model)
    assert (first["version"], first["changed"], first["slot"]) == ("1.9.0", True, "a")
    assert site.serves() == ("1.9.0", "a")
    assert not list((site.state / "update" / "chunks").iterdir())
    again = site.agent("update")
    assert (again.returncode, again.stdout) == (0, f"Nothing newer: {site.model} 1.9.0 is what slot a has.\n")

    site.publish_version("1.10.0")
    assert "--keep" in site.refused(), "the other slot is the way back"
    assert "restart" in site.refused("--keep"), "nobody serves it yet"
    site.prove()
    second = site.updated()
    assert (second["version"], second["previous_version"]) == ("1.10.0", "1.9.0")
    assert second["received_bytes"] < OWN_BYTES + 1_200_000, "only the chunks that differ come"
    assert site.serves() == ("1.10.0", "b")

    assert f"Back to {site.model} 1.9.0" in site.agent("update", "--back").stdout
    assert site.serves() == ("1.9.0", "a")
    assert site.updated()["received_bytes"] == 0, "what a slot has is not fetched again"
    assert site.serves() == ("1.10.0", "b")
    assert f"{site.model} 1.10.0 serves from slot b" in site.agent("doctor").stdout


def test_what_a_rollout_has_on_probation_is_ended_by_no_hand(site: Site) -> None:
    site.publish_version("1.0.0")
    site.updated("--model", site.model)
    slots = Slots(site.state / "models" / "slots")
    slots.start()
    slots.roll_back("It was brought by hand.")
    version = make_version(7)
    slots.stage(version.index_json, version.read)
    slots.switch("rollouts/spring")
    for option in ("--keep", "--back"):
        assert "rollouts/spring has the model that serves on probation, and ends that by itself" in site.refused(option)
    assert "rollouts/spring has the model" in site.refused("--model", site.model)
    assert "on probation, which rollouts/spring ends by itself" in site.agent("doctor").stdout
    assert Slots(site.state / "models" / "slots").look().rollout == "rollouts/spring"


def test_what_was_cut_off_goes_on(site: Site) -> None:
    bundle = site.publish_version("1.0.0")
    slow = {**os.environ, **site.environment(), "SEAWALL_AGENT_UPDATE__BYTES_PER_SECOND": "1000000"}
    words = [sys.executable, "-m", "agent", "update", "--model", site.model]
    chunks = site.state / "update" / "chunks"
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=slow, text=True) as process:
        while process.poll() is None and not (chunks / "pack").exists():
            time.sleep(0.02)
        assert "another update is under way" in site.refused("--model", site.model)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    kept_bytes = (chunks / "pack").stat().st_size
    assert kept_bytes > 0
    outcome = site.updated("--model", site.model)
    total_bytes = sum(path.stat().st_size for path in bundle.iterdir())
    assert outcome["received_bytes"] <= total_bytes - kept_bytes + 1000
    assert site.serves() == ("1.0.0", "a")


def waits_for(site: Site, why: str, *arguments: str, **variables: str) -> None:
    """An update says why it waits, and is ended."""
    words = [sys.executable, "-m", "agent", "update", "--model", site.model, *arguments]
    environment = {**os.environ, **site.environment(), **variables}
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stderr is not None
        assert any(why in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
    assert list((site.state / "update" / "chunks").iterdir()) == []


def test_it_waits_for_its_hours_unless_it_is_to_be_now_and_for_a_link_that_costs_nothing(site: Site) -> None:
    site.publish_version("1.0.0")
    begin, end = (datetime.now() + timedelta(hours=hours) for hours in (2, 3))
    hours = {"SEAWALL_AGENT_UPDATE__HOURS": f"{begin:%H:%M}-{end:%H:%M}"}
    waits_for(site, "outside its hours", **hours)
    metered = site.folder / "metered"
    metered.touch()
    costs = {**hours, "SEAWALL_AGENT_UPDATE__METERED_FILE": str(metered)}
    waits_for(site, "metered link", "--now", **costs)
    metered.unlink()
    assert site.updated("--model", site.model, "--now", **costs)["version"] == "1.0.0"


def test_another_trust_brings_nothing(site: Site, stick: Path) -> None:
    site.publish_version("1.0.0")
    message = site.refused("--from", stick, "--model", site.model)
    assert "No root here has the SHA-256" in message
    assert "enrol again" in message
    site.updated("--model", site.model)
    assert "not trusted" in site.refused("--from", stick), "the right root is here, and signed nothing of this"
    assert site.serves() == ("1.0.0", "a")


@contextmanager
def https_mirror(folder: Path, certificate: Pair, scratch: Path) -> Iterator[str]:
    """A folder behind a web server; yields its address."""
    pem = scratch / "mirror.pem"
    pem.write_bytes(certificate.key_pem + certificate.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_mirror_is_as_good_as_the_hub_if_its_certificate_is(site: Site, stick: Path) -> None:
    site.change_identity(root_sha256=sha256((stick / "metadata" / "1.root.json").read_bytes()).hexdigest())
    authority = Authority()
    (site.folder / "authority.pem").write_bytes(authority.pem)
    with https_mirror(stick, authority.issue(), site.folder) as address:
        wanted = ("--from", address, "--model", site.model)
        assert "does not deliver" in site.refused(*wanted)
        assert site.updated(*wanted, SSL_CERT_FILE=str(site.folder / "authority.pem"))["version"] == "9.0.0"
    assert site.serves() == ("9.0.0", "a")


def test_a_folder_is_as_good_as_the_hub_for_whoever_trusts_its_root(site: Site, stick: Path) -> None:
    site.change_identity(root_sha256=sha256((stick / "metadata" / "1.root.json").read_bytes()).hexdigest())
    assert site.updated("--from", stick, "--model", site.model)["version"] == "9.0.0"
    assert site.serves() == ("9.0.0", "a")
    site.change_identity(root_sha256="")
    assert "enroll --again" in site.refused("--from", stick)


def test_what_cannot_be_done_is_said_in_one_line(site: Site) -> None:
    assert f"has no version of {site.model}" in site.refused("--model", site.model)
    site.publish_version("1.0.0")
    assert f"Nobody signed models/{site.model}/versions/2.0.0.json" in site.refused("--model", site.model, "--version", "2.0.0")
    assert "There is no folder" in site.refused("--from", "/nowhere")
    assert "no mirror's address" in site.refused("--from", "http://mirror.example.org")
    assert "alone" in site.refused("--keep", "--version", "2.0.0")
    site.change_identity(hub_address=f"127.0.0.1:{free_port()}")
    assert "does not deliver the update (UNAVAILABLE)" in site.refused("--model", site.model)


@pytest.mark.model
def test_the_agent_serves_from_the_slot_what_it_was_brought(site: Site) -> None:
    site.bundle = BUNDLE
    fresh = site.folder / "fresh"
    shutil.copytree(BUNDLE, fresh, copy_function=os.link)
    text = json.loads((BUNDLE / "bundle.json").read_text())
    (fresh / "bundle.json").unlink()
    (fresh / "bundle.json").write_text(json.dumps(text | {"version": "99.0.0"}))
    site.publish(fresh, "99.0.0")
    name = load_bundle(BUNDLE, verify=False).name
    with site.running_agent() as client:
        assert client.health()["model_slot"].startswith("none")
        outcome = site.updated()
        assert (outcome["version"], outcome["changed"]) == ("99.0.0", True)
        assert outcome["received_bytes"] < 20_000, "the rest was in the configuration's bundle"
        assert client.health()["model_version"] == text["version"], "what runs goes on running"
        assert "restart" in site.refused("--keep")
    with site.running_agent() as client:
        health = client.health()
        assert (health["model_version"], health["model_slot"], health["model_trouble"]) == ("99.0.0", "a", "none")
        assert "Back to the configuration's bundle" in site.agent("update", "--back").stdout
        assert "still serves from the slot" in site.refused()
    assert site.updated()["received_bytes"] == 0, "what was given up is not fetched again"
    with site.running_agent() as client:
        assert any(chunk["choices"] for chunk in client.ask("What is the capital of France?"))
        assert f"{name} 99.0.0 in slot a is kept" in site.agent("update", "--keep").stdout
    assert site.agent("update", "--keep").stdout == "Nothing is on probation.\n"


@pytest.mark.model
def test_a_running_agent_has_a_signed_policy_in_force_without_a_restart(site: Site) -> None:
    site.follows = {"SEAWALL_AGENT_PRIVACY__SIGNED_POLICY": site.model}
    site.bundle = BUNDLE
    site.publish_policy("1.0.0", '@id("kept") permit (principal, action == Action::"cache", resource);')
    with site.running_agent() as client:
        wait_until(lambda: client.health()["policy"] == f"policies/{site.model}/versions/1.0.0")
        site.publish_policy("1.1.0", '@id("closed") forbid (principal, action, resource);')
        taken = site.agent("policy", "update", "--json")
        assert json.loads(taken.stdout)["name"] == f"policies/{site.model}/versions/1.1.0"
        wait_until(lambda: client.health()["policy"] == f"policies/{site.model}/versions/1.1.0")
        assert client.health()["policy_trouble"] == "none"
    assert "Nothing newer" in site.agent("policy", "update").stdout


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
