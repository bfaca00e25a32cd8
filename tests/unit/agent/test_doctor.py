"""What the doctor says, of real folders, files and TLS servers that are well or ill."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from agent.config import AgentSettings, CacheSettings, PrivacySettings
from agent.doctor import Finding, examine
from agent.identity.files import Identity, IdentityFolder
from agent.intake.settings import HttpSettings, MqttSettings
from agent.learning.rosters import KeptRoster
from agent.policies.kept import KeptPolicy
from agent.state import StateFolder
from contract.identity import key_hash
from contract.secagg.roster import Roster
from contract.tree_heads import public_der
from tests.fakes.identities import identity
from tests.fakes.permissions import closed_to_us
from tests.fakes.tls import YEAR, Authority, Pair, free_port, listener, tls_server
from tests.fakes.tuf_repository import version_of

NOW = datetime.now(UTC)
DAY = timedelta(days=1)

OURS, THEIRS = Authority("ours"), Authority("theirs")
AGENT, HUB = OURS.issue(), OURS.issue()

Look = Callable[..., dict[str, Finding]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Examines a device whose state folder is there, and whose other parts are named or missing."""
    folder = tmp_path / "state"
    folder.mkdir()

    def examined(hub_port: int | None = None, pair: Pair = AGENT, now: datetime = NOW, **settings: object) -> dict[str, Finding]:
        if hub_port is not None:
            identity = Identity("a1", "example.org", f"127.0.0.1:{hub_port}", pair.key_pem, pair.certificate_pem, OURS.pem)
            IdentityFolder(folder / "identity").write(identity)
        given = {"state_folder": folder, "mqtt": MqttSettings(port=free_port())} | settings
        return {finding.name: finding for finding in examine(AgentSettings.model_validate(given), now)}

    return examined


def test_a_device_that_is_not_enrolled_is_told_how_to_and_is_not_ill(look: Look) -> None:
    found = look()
    assert found["certificate"].ok
    assert found["hub"].ok
    assert "seawall-agent enroll" in found["hub"].detail


def test_the_detectors_weights_are_looked_at(look: Look) -> None:
    assert look()["detector"] == Finding("detector", True, "its weights are those of this version")


def test_a_hub_that_takes_our_certificate_is_well(look: Look) -> None:
    with tls_server(HUB, clients_of=OURS.pem) as port:
        found = look(port)
    assert found["hub"] == Finding("hub", True, f"127.0.0.1:{port} accepts this agent")
    assert found["certificate"].ok
    assert "agents/a1" in found["certificate"].detail


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (THEIRS.issue(), "not of the CA that this agent knows"),
        (OURS.issue(until=-DAY), "has expired"),
        (OURS.issue(since=DAY), "not valid yet: check this machine's clock"),
        (OURS.issue("127.0.0.2"), "not for this IP address"),
    ],
)
def test_a_hub_whose_certificate_is_no_good_is_told_apart_by_why(look: Look, shown: Pair, why: str) -> None:
    with tls_server(shown) as port:
        hub = look(port)["hub"]
    assert not hub.ok
    assert why in hub.detail


@pytest.mark.parametrize(
    ("pair", "clients_of", "why"),
    [
        (AGENT, THEIRS.pem, "the hub does not know the CA of this agent's certificate"),
        (OURS.issue(until=-DAY), OURS.pem, "this agent's certificate has expired"),
    ],
)
def test_a_hub_that_refuses_our_certificate_is_told_apart_by_why(look: Look, pair: Pair, clients_of: bytes, why: str) -> None:
    with tls_server(HUB, clients_of=clients_of) as port:
        hub = look(port, pair)["hub"]
    assert not hub.ok
    assert why in hub.detail
    assert "enrol again" in hub.detail


def test_it_says_whether_similar_questions_are_answered_from_the_cache_and_from_where_on(look: Look) -> None:
    assert look()["similar answers"] == Finding("similar answers", True, "off")
    found = look(cache=CacheSettings(similar=True, similarity_bar=0.93))["similar answers"]
    assert found.ok
    assert "on from a similarity of 0.93" in found.detail


def test_a_plain_text_listener_is_no_hub(look: Look) -> None:
    with listener(None) as port:
        hub = look(port)["hub"]
    assert not hub.ok
    assert "does not speak TLS" in hub.detail


def test_a_web_server_is_no_hub(look: Look) -> None:
    with tls_server(HUB, protocol="http/1.1") as port:
        hub = look(port)["hub"]
    assert not hub.ok
    assert "is no hub: check the port" in hub.detail


def test_where_nothing_listens_the_address_and_the_command_to_start_it_are_named(look: Look) -> None:
    port = free_port()
    hub = look(port)["hub"]
    assert not hub.ok
    assert f"127.0.0.1:{port}" in hub.detail
    assert "seawall-hub serve" in hub.detail


@contextmanager
def agent_saying(health: dict[str, object]) -> Iterator[HttpSettings]:
    """A server that gives this health, once."""
    body = json.dumps(health).encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        thread = Thread(target=serve)
        thread.start()
        yield HttpSettings(port=server.getsockname()[1])
        thread.join()


@pytest.mark.parametrize(
    ("health", "ok", "words"),
    [
        ({"session": "open", "generation": 7, "configuration_refusal": "none"}, True, "generation 7"),
        ({"session": "waiting: unavailable", "configuration_trouble": "the store was emptied"}, False, "the store was emptied"),
        ({"session": "waiting: agent-suspended"}, False, "agent-suspended"),
        ({"session": "open", "configuration_refusal": "CONFIGURATION_WIDENS: …"}, False, "CONFIGURATION_WIDENS"),
        ({"hub": "not enrolled"}, False, "restart it"),
    ],
)
def test_the_running_agent_says_how_its_session_is(look: Look, health: dict[str, object], ok: bool, words: str) -> None:
    with agent_saying(health) as http:
        session = look(free_port(), http=http)["session"]
    assert session.ok is ok
    assert words in session.detail


def test_the_running_agent_says_how_many_prompts_wait_for_a_better_answer_and_that_is_no_fault(look: Look) -> None:
    with agent_saying({"better_answers": "3 wait: hub-unavailable"}) as http:
        assert look(http=http)["better answers"] == Finding("better answers", True, "3 wait: hub-unavailable")
    assert look(http=HttpSettings(port=free_port()))["better answers"].ok


def test_a_session_is_no_matter_where_no_agent_runs(look: Look) -> None:
    assert look(free_port(), http=HttpSettings(port=free_port()))["session"].ok


@pytest.mark.parametrize(("trouble", "ok"), [("none", True), ("6 rows could not be opened", False)])
def test_the_running_agent_says_what_its_store_has_lost(look: Look, trouble: str, ok: bool) -> None:
    with agent_saying({"ok": True, "store_trouble": trouble}) as http:
        store = look(http=http)["store"]
    assert store.ok is ok
    assert ok or store.detail == trouble


def test_a_key_that_is_named_and_not_there_is_a_finding(look: Look, tmp_path: Path) -> None:
    http = HttpSettings(port=free_port())
    assert look(http=http)["store"].ok
    store = look(http=http, data_key_file=tmp_path / "absent")["store"]
    assert not store.ok
    assert "put it back" in store.detail


def test_our_expired_certificate_is_seen_without_the_hub(look: Look) -> None:
    found = look(free_port(), now=NOW + 2 * YEAR)
    assert not found["certificate"].ok
    assert found["certificate"].detail.startswith("expired on ")


def test_a_damaged_identity_is_a_finding(look: Look, tmp_path: Path) -> None:
    look(free_port())
    (tmp_path / "state" / "identity" / "identity.json").write_text("{}")
    found = look()
    assert not found["certificate"].ok
    assert not found["hub"].ok
    assert "enrol again" in found["hub"].detail


def test_a_broker_that_answers_is_well_and_one_that_does_not_is_named(look: Look) -> None:
    with listener(None) as port:
        assert look(mqtt=MqttSettings(port=port))["broker"].ok
    broker = look(mqtt=MqttSettings(port=port))["broker"]
    assert not broker.ok
    assert f"127.0.0.1:{port}" in broker.detail


def test_a_model_and_a_policy_that_cannot_be_used_are_findings_and_end_nothing(look: Look, tmp_path: Path) -> None:
    policy = tmp_path / "site.cedar"
    policy.write_text("permit (principal, action, resource);")
    found = look(model={"bundle": tmp_path / "none"}, privacy=PrivacySettings(policy_file=policy))
    assert not found["model"].ok
    assert not found["policy"].ok
    assert "@id" in found["policy"].detail
    needed = {
        "state folder",
        "store",
        "model",
        "model slots",
        "policy",
        "detector",
        "similar answers",
        "broker",
        "certificate",
        "hub",
        "session",
        "learning",
        "better answers",
    }
    assert set(found) == needed


def test_a_device_that_is_to_learn_and_cannot_is_told_what_to_install(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look()["learning"].detail == "off"
    assert look(learning={"enabled": True})["learning"].detail == "on"
    monkeypatch.setitem(sys.modules, "flwr", None)  # what Python says of a package that is not there
    found = look(learning={"enabled": True})["learning"]
    assert not found.ok
    assert "pip install" in found.detail
    assert look()["learning"].ok


def test_a_roster_with_another_key_for_this_device_is_a_finding(look: Look, tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.identity.write(identity("till-1"))
    own = key_hash(public_der(state.identity.member_key()))
    KeptRoster(state.learning).keep(Roster(7, {"till-1": own}))
    assert look(learning={"enabled": True})["learning"].detail == "on. Version 7 has this device."
    KeptRoster(state.learning).keep(Roster(8, {"till-1": "0" * 64}))
    found = look(learning={"enabled": True})["learning"]
    assert not found.ok
    assert f"another member key for this device than its own, {own}" in found.detail


def test_a_state_folder_that_is_a_file_is_a_finding(look: Look, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state = look(state_folder=tmp_path / "file")["state folder"]
    assert not state.ok
    assert "cannot be written" in state.detail


def test_a_user_who_may_not_look_is_told_whose_place_it_is(look: Look, tmp_path: Path) -> None:
    look(free_port())
    with closed_to_us(tmp_path / "state"):
        found = look()
    for name in ("state folder", "certificate", "hub"):
        assert not found[name].ok
        assert "run this as the agent's user" in found[name].detail


def test_a_look_changes_nothing(look: Look, tmp_path: Path) -> None:
    look(state_folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "state").iterdir()) == []


def test_a_signed_policy_that_is_named_and_has_not_come_is_wrong_and_says_what_brings_it(look: Look) -> None:
    found = look(privacy=PrivacySettings(signed_policy="fleet"))["policy"]
    assert not found.ok
    assert "seawall-agent policy update" in found.detail
    assert look()["policy"].detail.startswith("shipped, sha256:")


@pytest.mark.parametrize(("trouble", "ok"), [("none", True), ("POLICY_INVALID: no.", False)])
def test_a_signed_policy_is_named_and_so_is_a_newer_one_that_the_running_agent_has_refused(
    look: Look, tmp_path: Path, trouble: str, ok: bool
) -> None:
    policy = b'@id("own") permit (principal, action == Action::"cache", resource);'
    index, _ = version_of({"policy.cedar": [policy]}, model="fleet")
    KeptPolicy(tmp_path / "state" / "policies").keep(index, {"policy.cedar": policy})
    with agent_saying({"policy_trouble": trouble}) as http:
        found = look(http=http, privacy=PrivacySettings(signed_policy="fleet"))["policy"]
    assert found.ok is ok
    assert "policies/fleet/versions/1.0.0" in found.detail
    assert trouble == "none" or trouble in found.detail
