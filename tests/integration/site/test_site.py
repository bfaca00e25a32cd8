"""What a user sees of a whole site: real broker, hub, model and cloud; one process each."""

import json
import random
import subprocess
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx2
import openai
import pytest

from tests.fakes.commands import run_command
from tests.integration.site.conftest import RunningSite
from tour.device import Device
from tour.site import AGENT_ID
from tour.steps import EASY, HARD_OFFLINE, STEPS, walk

pytestmark = pytest.mark.model

IDLE_LIMIT_KIB = 400 * 1024
GROWTH_LIMIT_KIB = 24 * 1024


def command_line(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command(name.removeprefix("seawall-"), *arguments, seconds=60)


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def test_the_five_steps_of_the_tour_go_as_told(running: RunningSite, device: Device) -> None:
    for step in STEPS:
        if step.hub_stopped:
            running.stop_hub()
        walked = walk(step, device.ask)
        assert walked.ok, (step.name, walked.receipt)
    running.start_hub()


def test_the_agent_finds_its_hub_again_after_the_hub_was_away(running: RunningSite, device: Device) -> None:
    running.stop_hub()
    assert device.ask(f"{HARD_OFFLINE} It is yellow.")["receipt"]["provisional"]
    running.start_hub()
    for attempt in range(30):
        receipt = device.ask(f"{HARD_OFFLINE} It has {attempt} windows.")["receipt"]
        if receipt["route"] == "escalated":
            return
        time.sleep(1)
    pytest.fail(f"never escalated again: {receipt}")


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_provisional_answer_is_followed_by_the_better_one_when_the_hub_is_there_again(
    running: RunningSite, device: Device, is_killed: bool
) -> None:
    running.stop_hub()
    provisional = device.ask(f"{HARD_OFFLINE} It is {'red' if is_killed else 'green'}.")
    assert provisional["receipt"]["provisional"]
    if is_killed:
        running.kill_agent()
        running.start_agent()
    running.start_hub()
    better = device.wait_for_better(provisional["id"])
    assert (better["id"], better["replaces"]) == (provisional["id"], provisional["receipt"]["receipt_id"])
    assert (better["receipt"]["route"], better["receipt"]["provisional"], "better_until" in better) == ("escalated", False, False)
    assert better["answer"]
    assert "better_until" in provisional
    again = device.ask(f"{HARD_OFFLINE} It is {'red' if is_killed else 'green'}.")
    assert (again["answer"], again["receipt"]["route"]) == (better["answer"], "cache")


def test_the_official_openai_client_is_answered_whole_and_in_pieces(running: RunningSite) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    whole = client.chat.completions.create(model=model, messages=[{"role": "user", "content": EASY}], max_tokens=24)
    chunks = client.chat.completions.create(model=model, messages=[{"role": "user", "content": EASY}], max_tokens=24, stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert whole.choices[0].message.content == "".join(pieces) != ""
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0
    client.close()


def test_a_prompt_over_the_context_is_refused_with_the_limit_on_both_ways_in(running: RunningSite, device: Device) -> None:
    endless = "word " * 5000
    problem = device.ask(endless)
    assert (problem["reason"], problem["status"]) == ("PROMPT_TOO_LONG", 400)
    assert "2047" in problem["detail"]
    response = httpx2.post(f"{running.url}/v1/chat/completions", json={"messages": [{"role": "user", "content": endless}]}, timeout=30)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_every_acknowledged_prompt_is_answered_though_the_agent_is_killed(running: RunningSite, device: Device) -> None:
    """Twice only where the kill falls between the broker's acknowledgement and the mark (ADR 6); a third time never."""
    randomness = random.Random(7)
    for _ in range(4):
        ids = [device.publish(f"Count to {number} in words.", max_tokens=12) for number in range(3)]
        time.sleep(randomness.uniform(0, 0.3))
        running.kill_agent()
        running.start_agent()
        answers = device.collect(ids, quiet_seconds=1.5)
        assert set(answers) == set(ids)
        assert max(Counter(answers).values()) <= 2


def test_a_thousand_malformed_messages_leave_the_agent_answering_and_its_memory_flat(running: RunningSite, device: Device) -> None:
    randomness = random.Random(11)
    before = 0
    with httpx2.Client(base_url=running.url, timeout=30) as client:
        for number in range(500):
            garbage = randomness.randbytes(randomness.randrange(0, 300)) if number % 3 else _almost_a_prompt(randomness)
            device.publish_bytes(garbage)
            response = client.post("/v1/chat/completions", content=garbage, headers={"Content-Type": "application/json"})
            assert 400 <= response.status_code < 500
            assert response.json()["error"]["message"]
            if number == 200:
                before = resident_kib(running.agent.process.pid)
    assert device.ask(EASY)["answer"]
    assert resident_kib(running.agent.process.pid) - before < GROWTH_LIMIT_KIB


def _almost_a_prompt(randomness: random.Random) -> bytes:
    wrong: object = randomness.choice([None, 1, [], {}, "", "\ud800", [{"role": "wizard", "content": "x"}], 1e400, -1])
    field = randomness.choice(["messages", "max_tokens", "temperature", "stop", "stream", "unknown", "prompt"])
    return json.dumps({"messages": [], field: wrong}).encode("utf-8", "surrogatepass")


def test_the_agent_with_its_model_stays_under_400_megabytes(running: RunningSite, device: Device) -> None:
    device.ask(EASY)
    assert resident_kib(running.agent.process.pid) < IDLE_LIMIT_KIB


def test_status_doctor_ask_and_receipts_answer_a_technician(running: RunningSite, device: Device) -> None:
    device.ask(EASY)
    config = ("--config", str(running.site.agent_config))
    status = command_line("seawall-agent", "status", "--json", *config)
    assert json.loads(status.stdout)["agent"] == AGENT_ID
    doctor = command_line("seawall-agent", "doctor", *config)
    assert doctor.returncode == 0, doctor.stdout
    assert "accepts this agent" in doctor.stdout
    asked = command_line("seawall-agent", "ask", EASY, "--json", *config)
    assert json.loads(asked.stdout)["receipt"]["route"] in ("local", "cache")
    receipts = command_line("seawall-agent", "receipts", "--count", "2", "--json", *config)
    assert len(receipts.stdout.splitlines()) == 2


def test_a_client_is_forgotten_while_the_agent_runs_and_no_word_of_it_was_ever_in_clear(running: RunningSite, device: Device) -> None:
    config = ("--config", str(running.site.agent_config))
    canary, name = f"canary{uuid.uuid4().hex}", f"about-{uuid.uuid4().hex}"
    asked = command_line("seawall-agent", "ask", f"What is a {canary}?", "--conversation", name, *config)
    assert asked.returncode == 0
    forgotten = json.loads(command_line("seawall-agent", "forget", "--client", "http/local", "--json", *config).stdout)
    assert (forgotten["turns"], forgotten["subject_keys"]) >= (2, 1)
    assert json.loads(command_line("seawall-agent", "forget", "--client", "http/local", "--json", *config).stdout)["subject_keys"] == 0
    written = b"".join(file.read_bytes() for file in running.site.agent_state.rglob("*") if file.is_file())
    assert not [word for word in (canary.encode(), name.encode()) if word in written]
    assert device.ask(EASY)["answer"]


def test_the_log_of_receipts_is_signed_when_the_agent_stops_and_witnessed_when_it_is_there_again(
    running: RunningSite, device: Device
) -> None:
    config = ("--config", str(running.site.agent_config))
    receipt_id = device.ask(f"{EASY} Please.")["receipt"]["receipt_id"]
    running.agent.end()
    proof = json.loads(command_line("seawall-agent", "receipts", "prove", receipt_id, *config).stdout)
    assert proof["tree_head"]["size"] > proof["number"]
    running.start_agent()
    device.wait_for_agent()
    for _ in range(60):
        verified = command_line("seawall-agent", "receipts", "verify", *config)
        proof = json.loads(command_line("seawall-agent", "receipts", "prove", receipt_id, *config).stdout)
        if proof["witness"] is not None:
            break
        time.sleep(0.5)
    assert proof["witness"]["public_key"]
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "all is as it was signed" in verified.stdout


def test_a_used_join_token_and_a_token_of_another_hub_are_refused_in_words(running: RunningSite, tmp_path: Path) -> None:
    token = command_line("seawall-hub", "join-token", "--data", str(running.site.hub_folder)).stdout.strip().splitlines()[-1]
    ports = ("--enrollment-port", str(running.ports.enrollment), "--port", str(running.ports.hub))

    def enroll(name: str, text: str) -> subprocess.CompletedProcess[str]:
        config = tmp_path / f"{name}.toml"
        config.write_text(f'agent_id = "{name}"\nstate_folder = "{tmp_path / name}"\n')
        return command_line("seawall-agent", "enroll", text, *ports, "--config", str(config))

    assert enroll("first", token).returncode == 0
    used = enroll("second", token)
    assert (used.returncode, "Traceback" in used.stderr) == (1, False)
    assert "used" in used.stderr
    foreign = enroll("third", token[:-64] + "0" * 64)
    assert foreign.returncode == 1
    assert "not the one that made this join token" in foreign.stderr
    short = enroll("fourth", str(uuid.uuid4()))
    assert "three or four parts" in short.stderr


def changed_identity(running: RunningSite, folder: Path, **changes: Path) -> Path:
    """A configuration like the running agent's, with another state folder, whose identity has other files' text in some fields."""
    identity = json.loads((running.site.agent_state / "identity" / "identity.json").read_text())
    identity |= {field: file.read_text() for field, file in changes.items()}
    state = folder / "agent"
    (state / "identity").mkdir(parents=True)
    (state / "identity" / "identity.json").write_text(json.dumps(identity))
    config = folder / "agent.toml"
    config.write_text(running.site.agent_config.read_text().replace(str(running.site.agent_state), str(state)))
    return config


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """The data folder of another hub."""
    folder = tmp_path / "strangers"
    assert command_line("seawall-hub", "init", "--data", str(folder)).returncode == 0
    return folder


def test_doctor_names_the_reason_when_the_hub_is_of_another_ca(running: RunningSite, tmp_path: Path, strangers: Path) -> None:
    config = changed_identity(running, tmp_path, ca_pem=strangers / "ca.crt")
    doctor = command_line("seawall-agent", "doctor", "--config", str(config))
    assert doctor.returncode == 1
    assert "not of the CA that this agent knows" in doctor.stdout


def test_doctor_names_the_reason_when_the_agents_certificate_is_of_another_ca(
    running: RunningSite, tmp_path: Path, strangers: Path
) -> None:
    config = changed_identity(running, tmp_path, key_pem=strangers / "operator.key", certificate_pem=strangers / "operator.crt")
    doctor = command_line("seawall-agent", "doctor", "--config", str(config))
    assert doctor.returncode == 1
    assert "wrong hub" in doctor.stdout
    assert "enrol again" in doctor.stdout
