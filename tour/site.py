"""A whole site and its hub on loopback, in one folder: configuration written, devices enrolled, processes started."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tour.broker import amqtt_command, broker_command, install_mosquitto
from tour.processes import Child, Children, choose_port, listening

AGENT_ID = "tour"


@dataclass(frozen=True, slots=True)
class Cloud:
    """What answers behind the hub.

    Args:
        label: what it is, for people.
        kind: `openai` or `anthropic`.
        model: as the provider names it.
        base_url: empty: the provider's own.
        key_variable: the environment variable that holds the key; empty: none is needed.
        tier: `private` or `public`.
    """

    label: str
    kind: str
    model: str
    base_url: str = ""
    key_variable: str = ""
    tier: str = "private"


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of the try."""

    broker: int
    enrollment: int
    hub: int
    hub_metrics: int
    http: int
    cloud: int

    @classmethod
    def choose(cls) -> "Ports":
        """Returns the usual ports, or free ones where those are taken."""
        return cls(*(choose_port(port) for port in (1883, 7443, 7444, 7445, 8080, 8091)))

    @classmethod
    def free(cls) -> "Ports":
        """Returns free ports, none of them a usual one."""
        return cls(*(choose_port(0) for _ in range(6)))


class Site:
    """The try's folder and processes.

    Args:
        root: the repository.
        folder: where all is kept.
        children: who starts the processes.
        ports: on loopback.
    """

    def __init__(self, root: Path, folder: Path, children: Children, ports: Ports) -> None:
        self._root = root
        self._folder = folder
        self._children = children
        self.ports = ports
        self.broker_name = ""
        self.mqtt_protocol = "5"
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def agent_config(self) -> Path:
        """The agent's configuration file."""
        return self._folder / "agent.toml"

    @property
    def agent_state(self) -> Path:
        """The agent's state folder."""
        return self._folder / "agent"

    @property
    def hub_folder(self) -> Path:
        """The hub's data folder."""
        return self._folder / "hub"

    def start_broker(self) -> None:
        """Starts Mosquitto, or amqtt where there is none."""
        mosquitto = install_mosquitto()
        if mosquitto is not None:
            self.broker_name, command = "Mosquitto", broker_command(mosquitto, self._folder, self.ports.broker)
        else:
            self.broker_name, self.mqtt_protocol = "amqtt", "3.1.1"
            command = amqtt_command(self._root, self._folder, self.ports.broker)
        self._started("broker", command, self.ports.broker)

    def start_stand_in(self, model: str) -> Cloud:
        """Starts a real model in llama.cpp's server, and returns it as a cloud.

        Args:
            model: whose GGUF file is served.
        """
        gguf = Path(self._run("seawall-models", "fetch", model).strip().splitlines()[-1])
        self._started("stand-in-cloud", [sys.executable, "-m", "tour.stand_in", str(gguf), str(self.ports.cloud)], self.ports.cloud)
        return Cloud(
            label=f"a stand-in: {gguf.stem} in a llama.cpp server on this machine",
            kind="openai",
            model="stand-in",
            base_url=f"http://127.0.0.1:{self.ports.cloud}/v1",
        )

    def start_hub(self, cloud: Cloud) -> Child:
        """Makes the hub's folder where it is missing, and starts it with one provider."""
        self._run("seawall-hub", "init", "--data", str(self.hub_folder))
        (self.hub_folder / "hub.toml").write_text(self._hub_toml(cloud))
        return self._started("hub", [self._script("seawall-hub"), "serve", "--data", str(self.hub_folder)], self.ports.hub)

    def start_agent(self, bundle: Path) -> Child:
        """Enrols the agent where it is not, and starts it."""
        self.agent_config.write_text(self._agent_toml(bundle))
        if not (self.agent_state / "identity" / "identity.json").exists():
            token = self._run("seawall-hub", "join-token", "--data", str(self.hub_folder)).strip().splitlines()[-1]
            enrollment = ["--enrollment-port", str(self.ports.enrollment), "--port", str(self.ports.hub)]
            self._run("seawall-agent", "enroll", token, "--hub", "localhost", *enrollment, "--config", str(self.agent_config))
        return self._started("agent", [self._script("seawall-agent"), "run", "--config", str(self.agent_config)], self.ports.http)

    def _started(self, name: str, command: list[str], port: int) -> Child:
        child = self._children.start(name, command)
        child.wait_until(lambda: listening(port))
        return child

    def _script(self, name: str) -> str:
        return str(Path(sys.executable).with_name(name))

    def _run(self, script: str, *arguments: str) -> str:
        done = subprocess.run([self._script(script), *arguments], check=False, capture_output=True, text=True, env=os.environ)
        if done.returncode:
            raise SystemExit(f"{script} {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _hub_toml(self, cloud: Cloud) -> str:
        optional = {"base_url": cloud.base_url, "api_key_env": cloud.key_variable}
        return "\n".join(
            [
                "[listeners]",
                f'enrollment = "127.0.0.1:{self.ports.enrollment}"',
                f'mtls = "127.0.0.1:{self.ports.hub}"',
                f'metrics = "127.0.0.1:{self.ports.hub_metrics}"',
                "",
                "[[providers]]",
                'name = "tour-cloud"',
                f'kind = "{cloud.kind}"',
                f'model = "{cloud.model}"',
                f'tier = "{cloud.tier}"',
                'region = "this-machine"' if cloud.tier == "private" else 'region = "public"',
                *(f'{name} = "{value}"' for name, value in optional.items() if value),
                "",
            ]
        )

    def _agent_toml(self, bundle: Path) -> str:
        return "\n".join(
            [
                f'agent_id = "{AGENT_ID}"',
                f'state_folder = "{self.agent_state}"',
                "",
                "[model]",
                f'bundle = "{bundle}"',
                "",
                "[mqtt]",
                f"port = {self.ports.broker}",
                f'protocol = "{self.mqtt_protocol}"',
                "reconnect_max_seconds = 2",
                "",
                "[http]",
                f"port = {self.ports.http}",
                "",
            ]
        )
