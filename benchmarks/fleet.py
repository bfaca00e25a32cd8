"""How many agents can one hub live with?

    python -m benchmarks.fleet [--agents 10000] [--heartbeat-seconds 30] [--intervals 2] [--commands 2000] [--sigkill]

Simulated agents, each with its own certificate and mTLS stream, against one real hub process with SQLite. A bare grpc.aio server that
answers the same messages takes the same agents first: it is the floor for memory and processor time. Then the hub: all connect; heartbeats
alone, for the processor time a heartbeat; heartbeats while an operator lists all agents and watches events; a command to each of many
agents at once; a restart. Everything runs on this machine, so load and hub share its processors. The last line is JSON.
"""

import argparse
import json
import os
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from agent.identity.files import Identity
from benchmarks.fleet_agents import Beat
from benchmarks.fleet_operator import Watching, count_agents, kept_results, tell_all
from benchmarks.fleet_processes import Loads, ServerProcess, allow_files, now
from benchmarks.fleet_site import enroll_all
from hub.folder import DataFolder

AT_ONCE = 32
"""Agents of one process that connect at the same time, when there is no storm."""

SETTLE_SECONDS = 3.0
STORM_ENDINGS = {"unavailable", "hub-unavailable", "hub-ended", "no-welcome", "cancelled"}
"""Why a session may end, or not come about, when a hub is restarted. All else is an error."""

LOGGED_ERRORS = ("unexpected error", "upkeep broke", "Traceback")

PATIENCE_SECONDS = 300.0
"""What has not happened by then does not happen."""


@dataclass(frozen=True)
class Floor:
    """Of one server.

    Args:
        cpu_seconds: a heartbeat.
        resident_bytes: an agent.
    """

    cpu_seconds: float
    resident_bytes: float


class Bench:
    """One run.

    Args:
        options: of the command line.
        folder: for everything.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._data = DataFolder(folder / "data")
        self._errors: Counter[str] = Counter()
        self._ports: dict[str, str] = {}

    def run(self) -> dict[str, float]:
        """Runs all of it; returns what the last line tells."""
        say(f"making {self._options.agents:,} agents")
        identities = enroll_all(self._data.path, self._options.agents)
        echo = self._echo(identities)
        say("hub")
        server = self._start_hub()
        loads = Loads(identities, self._options.processes)
        try:
            server, figures = self._hub(server, loads, [identity.agent_id for identity in identities], echo)
        finally:
            loads.close()
            server.end()
        return {**figures, "errors": self._errors.total()}

    def _echo(self, identities: list[Identity]) -> Floor:
        say("echo")
        command = ["benchmarks.fleet_echo", str(self._data.path), str(self._options.heartbeat_seconds)]
        server = ServerProcess(command, {}, self._folder / "echo.log")
        loads = Loads(identities, self._options.processes)
        try:
            floor, beats = self._measure(server, loads)
            say(f"  heartbeats p50 {percentile(beats, 50):.1f} ms, p99 {percentile(beats, 99):.1f} ms")
            return floor
        finally:
            loads.close()
            server.end()

    def _hub(self, server: ServerProcess, loads: Loads, agent_ids: list[str], echo: Floor) -> tuple[ServerProcess, dict[str, float]]:
        count_agents(self._data, server.address)  # what is loaded at first use is loaded before memory is compared
        floor, quiet = self._measure(server, loads)
        operator = Watching(self._data, server.address, len(agent_ids))
        busy = self._beats(loads, self._options.heartbeat_seconds)
        say(f"  with an operator: p50 {percentile(busy, 50):.1f} ms, p99 {percentile(busy, 99):.1f} ms")
        self._count_ended(loads, set())
        come_seconds, kept_seconds = self._commands(server, loads, agent_ids[: self._options.commands])
        server, storm_seconds = self._storm(server, loads, operator, len(agent_ids))
        operator.stop()
        self._errors += operator.errors + self._logged()
        say(f"  operator: {len(operator.lists)} lists, the slowest {max(operator.lists):.1f} s; {operator.events:,} events watched;")
        say(f"  {operator.down} calls while the hub was down")
        say(f"errors: {dict(self._errors) or 'none'}")
        return server, {
            "agents": len(agent_ids),
            "heartbeat_p99_milliseconds": round(percentile(quiet + busy, 99), 2),
            "cpu_ratio_to_echo": round(floor.cpu_seconds / echo.cpu_seconds, 2),
            "memory_ratio_to_echo": round(floor.resident_bytes / echo.resident_bytes, 2),
            "commands_seconds": round(come_seconds, 2),
            "commands_kept_seconds": round(kept_seconds, 2),
            "storm_seconds": round(storm_seconds, 2),
        }

    def _start_hub(self) -> ServerProcess:
        variables = {f"SEAWALL_HUB_LISTENERS__{name}": self._ports.get(name, "127.0.0.1:0") for name in ("ENROLLMENT", "MTLS")}
        variables |= {"SEAWALL_HUB_LISTENERS__METRICS": "", "SEAWALL_HUB_LIMITS__HEARTBEAT_SECONDS": str(self._options.heartbeat_seconds)}
        server = ServerProcess(["hub", "serve", "--data", str(self._data.path)], variables, self._folder / "hub.log")
        self._ports["MTLS"] = server.address
        return server

    def _measure(self, server: ServerProcess, loads: Loads) -> tuple[Floor, list[Beat]]:
        """Connects all, then counts what heartbeats alone cost."""
        empty = server.resident_bytes()
        begun = now()
        loads.ask("start", server.address, AT_ONCE)
        last = self._until_open(loads, begun)
        say(f"  all connected after {last - begun:.1f} s, {server.cpu_seconds():.1f} s of the server's processor time")
        time.sleep(SETTLE_SECONDS)
        cpu = server.cpu_seconds()
        beats = self._beats(loads, self._options.heartbeat_seconds * self._options.intervals)
        floor = Floor((server.cpu_seconds() - cpu) / len(beats), (server.resident_bytes() - empty) / self._options.agents)
        self._count_ended(loads, set())
        say(f"  {len(beats):,} heartbeats, {floor.cpu_seconds * 1e6:.0f} µs of processor time each")
        say(f"  {floor.resident_bytes / 1024:.0f} KiB an agent, beside {empty / 2**20:.0f} MiB of the empty server")
        return floor, beats

    def _until_open(self, loads: Loads, since: float) -> float:
        """Waits until all agents have sessions that began after a time; returns when the last began."""
        said = now()
        while True:
            opened = loads.ask("opened", since)
            count = sum(number for number, _ in opened)
            if count == self._options.agents:
                return float(max(last for _, last in opened))
            if now() - since > PATIENCE_SECONDS:
                raise SystemExit(f"Only {count:,} agents have connected: {dict(sum(loads.ask('ended'), Counter()))}")
            if now() - said > 5:
                said = now()
                say(f"  {count:,} of {self._options.agents:,} agents")
            time.sleep(0.2)

    def _beats(self, loads: Loads, seconds: float) -> list[Beat]:
        """Waits; returns the heartbeats of this time."""
        begun = now()
        time.sleep(seconds)
        end = now()
        time.sleep(0.5)  # for the answers to the last ones
        return [beat for beats in loads.ask("beats", begun, end) for beat in beats]

    def _commands(self, server: ServerProcess, loads: Loads, agent_ids: list[str]) -> tuple[float, float]:
        """Tells agents something; returns the seconds until all know, and until all their results are kept."""
        begun, cpu = now(), server.cpu_seconds()
        names, failed = tell_all(self._data, server.address, agent_ids)
        self._errors += failed
        made = now()
        while True:
            seen = loads.ask("commands")
            if sum(kept for _, _, kept, _ in seen) >= len(names) or now() - begun > PATIENCE_SECONDS:
                break
            time.sleep(0.1)
        come, kept = max(last for _, last, _, _ in seen), max(last for _, _, _, last in seen)
        seconds = f"made after {made - begun:.1f} s, come after {come - begun:.1f} s, done after {kept - begun:.1f} s"
        say(f"  {len(agent_ids):,} commands: {seconds}")
        say(f"  {(server.cpu_seconds() - cpu) / len(agent_ids) * 1e3:.2f} ms of processor time each")
        lost = names - kept_results(self._data, server.address)
        self._errors["commands without a result"] += len(lost)
        self._errors["commands not exactly once"] += abs(sum(number for number, _, _, _ in seen) - len(names))
        return float(come - begun), float(kept - begun)

    def _storm(self, server: ServerProcess, loads: Loads, operator: Watching, agents: int) -> tuple[ServerProcess, float]:
        """Stops the hub and starts it again; returns the seconds from the signal until all agents are back."""
        operator.hub_goes_down()
        begun = now()
        server.end(signal.SIGKILL if self._options.sigkill else signal.SIGTERM)
        stopped = now()
        server = self._start_hub()
        operator.hub_is_up()
        say(f"  restart: {stopped - begun:.1f} s to stop, {now() - stopped:.1f} s until ready")
        back = self._until_open(loads, begun)
        say(f"  all {agents:,} are back after {back - begun:.1f} s, {server.cpu_seconds():.1f} s of the hub's processor time")
        say(f"  why sessions ended or did not begin: {self._count_ended(loads, STORM_ENDINGS)}")
        time.sleep(SETTLE_SECONDS)
        return server, back - begun

    def _count_ended(self, loads: Loads, allowed: set[str]) -> dict[str, int]:
        """Counts sessions that ended as they should not have as errors; returns all."""
        ended: Counter[str] = sum(loads.ask("ended"), Counter())
        self._errors += Counter({f"session ended: {why}": count for why, count in ended.items() if why not in allowed})
        return dict(ended)

    def _logged(self) -> Counter[str]:
        """Returns what the hub has logged as an error of its own."""
        lines = (self._folder / "hub.log").read_text().splitlines()
        return Counter(f"log: {line[:160]}" for line in lines if any(word in line for word in LOGGED_ERRORS))


def percentile(beats: list[Beat], share: float) -> float:
    """Returns the milliseconds that so many of a hundred heartbeats stay below."""
    ordered = sorted(beat.seconds for beat in beats)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] * 1e3


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None, epilog="Example: make bench-fleet ARGS='--agents 500'"
    )
    parser.add_argument("--agents", type=int, default=10_000, help="how many are simulated")
    parser.add_argument("--heartbeat-seconds", type=float, default=30.0, help="each sends one this often, with the agents' jitter")
    parser.add_argument(
        "--intervals", type=int, default=2, help="intervals of heartbeats that are measured without an operator; one more with"
    )
    parser.add_argument("--commands", type=int, default=2000, help="agents that are told something at once; at most all")
    parser.add_argument("--processes", type=int, default=4, help="processes that hold the agents")
    parser.add_argument("--sigkill", action="store_true", help="kill the hub before it is started again, instead of stopping it")
    options = parser.parse_args()
    options.commands = min(options.commands, options.agents)
    allow_files(options.agents)
    say(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        figures = Bench(options, Path(folder)).run()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
