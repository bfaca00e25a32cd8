import asyncio
import random
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent.intake.broker import RECEIVE_MAXIMUM
from agent.intake.settings import TlsSettings
from agent.store.database import Database
from agent.store.inbox import Inbox, NewPrompt
from contract.errors import NotPossibleNow, Reason
from tests.fakes.answerer import FakeAnswerer
from tests.integration.intake.agent_process import AgentProcess, Plan
from tests.integration.intake.certificates import write_certificates
from tests.integration.intake.conftest import StartIntake
from tests.integration.intake.device import PREFIX, Device
from tests.integration.intake.mosquitto import Mosquitto
from tests.integration.intake.waiting import SECONDS, until


@pytest.fixture
def absent(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that does not run yet."""
    broker = Mosquitto(tmp_path)
    yield broker
    broker.stop()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_status_is_retained_and_says_offline_after_a_goodbye(broker: Mosquitto, start: StartIntake, version: str) -> None:
    async with start(broker.port, protocol=version) as intake:
        async with Device(broker.port) as device:
            await device.until_status("online")
        async with Device(broker.port) as newcomer:
            assert await newcomer.status.get() == "online"
        assert intake.connected
    async with Device(broker.port) as newcomer:
        assert await newcomer.status.get() == "offline"


async def test_the_broker_says_offline_for_an_agent_that_was_killed(broker: Mosquitto, tmp_path: Path) -> None:
    async with Device(broker.port) as device:
        async with AgentProcess(Plan(broker.port, tmp_path / "agent.db")):
            await device.until_status("online")
        await device.until_status("offline")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_broker_that_is_away_at_the_start_is_waited_for(absent: Mosquitto, start: StartIntake, version: str) -> None:
    with capture_logs() as logs:
        async with start(absent.port, protocol=version) as intake:
            await until(lambda: any(entry["event"] == "mqtt_unreachable" for entry in logs))
            assert not intake.connected
            await asyncio.to_thread(absent.start)
            async with Device(absent.port) as device:
                await device.until_status("online")
                await device.send({"prompt": "one two"})
                assert await device.answer() == "two one"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_an_answer_that_was_ready_while_the_broker_was_away_comes_when_it_is_back(
    broker: Mosquitto, start: StartIntake, answerer: FakeAnswerer, version: str
) -> None:
    gate = answerer.gate = asyncio.Event()
    async with start(broker.port, protocol=version) as intake:
        async with Device(broker.port, "3.1.1", session="device") as device:
            await device.until_status("online")
            await device.send({"prompt": "one two", "stream": True})
            await until(answerer.begun.is_set)
        broker.stop()
        await until(lambda: not intake.connected)
        gate.set()
        await until(lambda: answerer.at_once == 0)
        broker.start()
        async with Device(broker.port, "3.1.1", session="device") as device:
            assert await device.answer() == "two one"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_broker_that_died_and_forgot_everything_is_used_again(broker: Mosquitto, start: StartIntake, version: str) -> None:
    async with start(broker.port, protocol=version):
        for _ in range(3):
            async with Device(broker.port) as device:
                await device.until_status("online")
                await device.send({"prompt": "one two"})
                assert await device.answer() == "two one"
            broker.stop(kill=True)
            broker.start()


async def test_prompts_that_came_while_the_agent_was_away_are_answered_when_it_is_back(broker: Mosquitto, start: StartIntake) -> None:
    async with Device(broker.port) as device:
        async with start(broker.port):
            await device.until_status("online")
        await device.until_status("offline")
        for number in range(30):  # more than the broker may send unacknowledged
            await device.send({"prompt": f"a {number}"})
        async with start(broker.port):
            assert {await device.answer() for _ in range(30)} == {f"{number} a" for number in range(30)}


class StuckInbox(Inbox):
    """A disk that never gets done."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked = asyncio.Event()

    async def put(self, prompt: NewPrompt, max_waiting: int) -> bool:
        self.asked.set()
        await asyncio.Event().wait()
        return True


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_prompt_is_not_acknowledged_before_it_is_stored(
    broker: Mosquitto, start: StartIntake, database: Database, version: str
) -> None:
    stuck = StuckInbox(database)
    async with Device(broker.port) as device:
        async with start(broker.port, inbox=stuck, protocol=version):
            await device.until_status("online")
            await device.send({"prompt": "one two"})
            await until(stuck.asked.is_set)
        async with start(broker.port, protocol=version):
            assert await device.answer() == "two one"
            assert await device.heard_until("last") == []


async def test_a_packet_that_comes_again_without_an_id_is_the_same_prompt(
    broker: Mosquitto, start: StartIntake, database: Database
) -> None:
    kept = KeptButUnconfirmed(database)
    async with Device(broker.port) as device:
        async with start(broker.port, inbox=kept):
            await device.until_status("online")
            await device.send({"prompt": "one two"})
            await until(kept.kept.is_set)
        async with start(broker.port):
            assert await device.answer() == "two one"
            assert await device.heard_until("last") == []


class KeptButUnconfirmed(Inbox):
    """Stores a prompt; then the process hangs before it can acknowledge it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.kept = asyncio.Event()

    async def put(self, prompt: NewPrompt, max_waiting: int) -> bool:
        await super().put(prompt, max_waiting)
        self.kept.set()
        await asyncio.Event().wait()
        return True


async def test_a_store_that_is_out_of_order_is_a_problem_and_is_used_again_when_it_works(
    broker: Mosquitto, start: StartIntake, database: Database
) -> None:
    async with start(broker.port), Device(broker.port) as device:
        await device.until_status("online")
        await database.run(lambda tables: tables.execute("ALTER TABLE inbox RENAME TO away"))
        await device.send({"prompt": "one two"})
        assert await device.reason() == "STORE_UNAVAILABLE"
        await database.run(lambda tables: tables.execute("ALTER TABLE away RENAME TO inbox"))
        await device.send({"prompt": "one two"})
        assert await device.answer() == "two one"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker with users `agent` and `device`, and an access list that the tests write."""
    passwords = tmp_path / "passwords"
    passwords.write_text("agent:agent-secret\ndevice:device-secret\n")
    subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)
    (tmp_path / "access").write_text("user agent\ntopic readwrite seawall/#\nuser device\ntopic readwrite seawall/#\n")
    broker = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {passwords}\nacl_file {tmp_path / 'access'}")
    yield broker
    broker.stop()


AGENT_USER: dict[str, Any] = {"username": "agent", "password": SecretStr("agent-secret")}
DEVICE_USER = ("device", "device-secret")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_wrong_password_is_logged_and_a_right_one_lets_in(guarded: Mosquitto, start: StartIntake, version: str) -> None:
    guarded.start()
    with capture_logs() as logs:
        async with start(guarded.port, protocol=version, username="agent", password=SecretStr("wrong")):
            await until(lambda: sum(entry["event"] == "mqtt_refused" for entry in logs) >= 2)
    assert "wrong" not in str(logs)
    async with start(guarded.port, protocol=version, **AGENT_USER), Device(guarded.port, credentials=DEVICE_USER) as device:
        await device.until_status("online")
        await device.send({"prompt": "one two"})
        assert await device.answer() == "two one"


async def test_what_the_broker_refuses_does_not_stop_the_next(guarded: Mosquitto, start: StartIntake, tmp_path: Path) -> None:
    rules = f"user agent\ntopic readwrite seawall/+/+/+/status\ntopic read seawall/#\ntopic write {PREFIX}good\n"
    (tmp_path / "access").write_text(rules + "user device\ntopic readwrite seawall/#\n")
    guarded.start()
    with capture_logs() as logs:
        async with start(guarded.port, **AGENT_USER), Device(guarded.port, credentials=DEVICE_USER) as device:
            await device.until_status("online")
            await device.send({"prompt": "one"})
            for _ in range(RECEIVE_MAXIMUM):  # if they were not acknowledged, no more would come
                await device.send(b"")
            await device.send({"prompt": "two"}, response_topic=PREFIX + "good")
            assert (await device.hear()).topic == "good"
    errors = Counter(entry["event"] for entry in logs if entry["log_level"] == "error")
    assert errors == {"answer_refused_by_broker": 1, "problem_refused_by_broker": RECEIVE_MAXIMUM}


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
async def test_the_broker_is_reached_by_tls_and_only_if_its_certificate_is_trusted(tmp_path: Path, start: StartIntake) -> None:
    ca, certificate, key = write_certificates(tmp_path)
    broker = Mosquitto(tmp_path, f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}")
    broker.start()
    try:
        with capture_logs() as logs:
            async with start(broker.port, tls=TlsSettings(ca_file=ca)) as intake:
                await until(lambda: intake.connected)
            async with start(broker.port, tls=TlsSettings()) as stranger:
                await until(lambda: any(entry["event"] == "mqtt_unreachable" for entry in logs))
                assert not stranger.connected
    finally:
        broker.stop()
    with pytest.raises(NotPossibleNow, match="ca_file") as refused:
        async with start(1, tls=TlsSettings(ca_file=tmp_path / "absent.pem")):
            pass
    assert refused.value.reason == Reason.CONFIG_INVALID


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_server_that_speaks_nonsense_does_not_end_the_agent(start: StartIntake, version: str) -> None:
    noise = random.Random(3)
    heads = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00\x01", b"\x20\x03\x00\x00\x00\x30\x03\x00\x09a", b"\x90\x00", b"\x40\x00"]
    heads += [bytes([kind << 4]) + noise.randbytes(12) for kind in range(1, 16, 2)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        loop = asyncio.get_running_loop()
        async with start(server.getsockname()[1], protocol=version):
            async with asyncio.timeout(SECONDS):
                for head in heads:
                    connection, _ = await loop.sock_accept(server)
                    with connection:
                        await loop.sock_sendall(connection, head)
