"""A whole site with its hub, as `make run` starts it: Mosquitto, hub, a real model behind an OpenAI-compatible server, agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tour.device import Device
from tour.processes import Child, Children
from tour.site import AGENT_ID, Cloud, Ports, Site

ROOT = Path(__file__).resolve().parents[3]
MODEL = "smollm2-135m-instruct"
BUNDLE = ROOT / "build" / "models" / f"{MODEL}-int8"


class RunningSite:
    """The site, and its processes by name."""

    def __init__(self, site: Site, cloud: Cloud, hub: Child, agent: Child) -> None:
        self.site = site
        self.ports = site.ports
        self.cloud = cloud
        self.hub = hub
        self.agent = agent

    def stop_hub(self) -> None:
        self.hub.end()

    def start_hub(self) -> None:
        self.hub = self.site.start_hub(self.cloud)

    def kill_agent(self) -> None:
        self.agent.process.kill()
        self.agent.process.wait()

    def start_agent(self) -> None:
        self.agent = self.site.start_agent(BUNDLE)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.http}"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    folder = tmp_path_factory.mktemp("site")
    with Children(folder / "logs") as children:
        site = Site(ROOT, folder, children, Ports.free())
        site.start_broker()
        cloud = site.start_stand_in(MODEL)
        yield RunningSite(site, cloud, site.start_hub(cloud), site.start_agent(BUNDLE))


@pytest.fixture
def device(running: RunningSite) -> Iterator[Device]:
    connected = Device(running.ports.broker, AGENT_ID, "test")
    connected.wait_for_agent()
    yield connected
    connected.close()
