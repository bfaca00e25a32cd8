"""What an update costs: bytes on the wire, bytes that come twice, and how fast one hub feeds eight agents.

The wire is counted below gRPC, so framing and the index are in the figures. The last line is JSON:

- template_only_share: of the bundle's bytes, sent where only the chat template changed;
- added_file_bytes: sent where a file of 4 MB was added; unchanged_bytes: sent, the index apart, where nothing changed;
- resume_extra_share: sent more than without cuts, of a download that was cut `cuts` times;
- throughput_ratio: of eight agents at once, which verify, unpack and sync every chunk, by eight clients of a bare gRPC stream at once,
  which do what any receiver must: hash what comes, write it to a file, sync that once. Both bring the same version, and the bare
  stream, which packs nothing, sends all its bytes; the median of `rounds`;
- cpu_ratio: the same two runs, by the processor time of both sides, which other work on this machine hardly changes; hub_cpu_ms_per_mb,
  agents_cpu_ms_per_mb, bare_server_cpu_ms_per_mb and bare_clients_cpu_ms_per_mb are what it is made of, for each MB of the version;
- discarded_throughput_ratio: the same agents, by clients that do nothing with what comes;
- server_throughput_ratio: agents and clients that both do nothing, by what is on the wire, so that it is the server that is compared;
- hub_memory_growth_bytes: of the hub's largest memory, from one download to the first eight at once: so many blobs and messages a stream;
  hub_memory_growth_later_bytes: from those eight to the last round's, since neither bytes nor time may add to it.

The hub is `seawall-hub serve` with versions that were published to it. The bare stream passes the same mutual TLS with the same
options. All receivers share this machine's processors with the server.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from agent.update.chunk_folder import HeldFiles
from agent.update.fetcher import FetchSettings
from benchmarks.update_peers import Agent, Wanted, Wire, fetch_together, keep_together, receive_together, stream_together
from benchmarks.update_processes import BareServer, Run, bare_server, run_together
from benchmarks.update_site import Site, running_site
from contract.bundle import BUNDLE_FILE
from contract.release import Index
from models.chunks import index_folder

AGENTS = 8
CUTS = 50
MODEL = "benchmark"
ADDED_BYTES = 4_000_000
HASTY = FetchSettings(attempts=100, first_delay_seconds=0.02, longest_delay_seconds=0.1)


@dataclass(frozen=True)
class Version:
    """A version that was published.

    Args:
        folder: of its files.
        index: of them.
        wanted: how agents ask for it.
    """

    folder: Path
    index: Index
    wanted: Wanted


def publish(site: Site, folder: Path, version: str) -> Version:
    """Publishes a bundle to the hub."""
    site.publish(folder, MODEL, version)
    return Version(folder, index_folder(folder, MODEL, version)[0], Wanted(site.root.read_bytes(), MODEL, version))


def variants(bundle: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields the bundle, and copies of it: with another chat template, and with one more file."""
    yield "1.0.0", bundle
    template = shutil.copytree(bundle, folder / "template")
    content = json.loads((template / BUNDLE_FILE).read_bytes())
    content["chat_template"] += "{# changed #}"
    (template / BUNDLE_FILE).write_text(json.dumps(content, indent=1, sort_keys=True))
    yield "1.1.0", template
    added = shutil.copytree(bundle, folder / "added")
    (added / "adapter.bin").write_bytes(random.Random(1).randbytes(ADDED_BYTES))
    yield "1.2.0", added


@dataclass(frozen=True)
class Sent:
    """What the hub sent to an agent, TLS and all.

    Args:
        all_bytes: from the first on.
        chunk_bytes: after the index was verified.
    """

    all_bytes: int
    chunk_bytes: int


async def sent(site: Site, version: Version, cuts: int = 0, installed: Version | None = None, whole_bytes: int = 0) -> Sent:
    """Returns what the hub sends to an agent that fetches a version."""
    wire, before = Wire(), [0]
    wire.cut_at = sorted(random.Random(3).randrange(whole_bytes * 9 // 10) for _ in range(cuts)) if cuts else []
    held = (HeldFiles(installed.folder, installed.index),) if installed else ()
    with tempfile.TemporaryDirectory() as folder:
        async with wire.to(site.hub.address) as address:
            agent = Agent(replace(site.identities[0], hub_address=address), Path(folder), HASTY)
            index = await agent.fetch(version.wanted, held, lambda: before.append(wire.sent_bytes))
        if any(agent.chunks.find(chunk) is None and not held for chunk in index.chunks().values()) or wire.cuts != cuts:
            raise EOFError(f"not all of it came, or {wire.cuts} of {cuts} cuts")
    return Sent(wire.sent_bytes, wire.sent_bytes - before[-1])


def count_bytes(site: Site, versions: dict[str, Version]) -> tuple[dict[str, float], int]:
    """Returns what one agent at a time is sent, and how much a whole version is."""
    first, template, added = (versions[name] for name in ("1.0.0", "1.1.0", "1.2.0"))
    whole = asyncio.run(sent(site, first)).all_bytes
    cut = asyncio.run(sent(site, first, CUTS, whole_bytes=whole)).all_bytes
    print(f"whole {whole / 1e6:.1f} MB, with {CUTS} cuts {cut / 1e6:.1f} MB", flush=True)
    template_bytes = asyncio.run(sent(site, template, installed=first)).all_bytes
    added_bytes = asyncio.run(sent(site, added, installed=first)).all_bytes
    again = asyncio.run(sent(site, first, installed=first))
    print(
        f"template {template_bytes} B, added {added_bytes} B, again {again.all_bytes} B, after the index {again.chunk_bytes} B", flush=True
    )
    return {
        "template_only_share": template_bytes / first.index.size_bytes(),
        "added_file_bytes": added_bytes,
        "unchanged_bytes": again.chunk_bytes,
        "resume_extra_share": cut / whole - 1,
    }, whole


@dataclass(frozen=True)
class Round:
    """The four runs of a round, one after the other.

    Args:
        discarded: clients of the bare stream that do nothing with it.
        kept: clients of the bare stream that hash and write it.
        received: agents that do nothing with the hub's chunks.
        fetched: agents that verify, unpack and sync them.
    """

    discarded: Run
    kept: Run
    received: Run
    fetched: Run


def race(site: Site, bare: BareServer, version: Version, whole_bytes: int, rounds: int) -> dict[str, float]:
    """Returns how agents at once compare with clients of the bare stream, and what they cost the hub in memory."""
    agents, peaks_bytes, size_bytes = list(site.identities), [site.hub.peak_bytes()], version.index.size_bytes()
    clients, done = [replace(identity, hub_address=bare.address) for identity in agents], list[Round]()
    for _ in range(rounds):
        done.append(
            Round(
                run_together(stream_together, clients, size_bytes, bare.cpu_seconds),
                run_together(keep_together, clients, size_bytes, bare.cpu_seconds),
                run_together(receive_together, agents, list(version.index.chunks()), site.hub.cpu_seconds),
                run_together(fetch_together, agents, version.wanted, site.hub.cpu_seconds),
            )
        )
        peaks_bytes.append(site.hub.peak_bytes())
        tell(done[-1], len(agents) * size_bytes / 1e6, peaks_bytes[-1])
    grown = {"hub_memory_growth_bytes": peaks_bytes[1] - peaks_bytes[0], "hub_memory_growth_later_bytes": peaks_bytes[-1] - peaks_bytes[1]}
    return ratios(done, whole_bytes / size_bytes) | cpu_times(done, len(agents) * size_bytes / 1e6) | grown


def tell(done: Round, megabytes: float, peak_bytes: int) -> None:
    """Prints a round."""
    speeds = [f"{megabytes / run.seconds:.0f}" for run in (done.discarded, done.kept, done.received, done.fetched)]
    print(f"all at once, MB/s of the version: bare {speeds[0]}, hashed and written {speeds[1]}", end="; ")
    print(f"hub's chunks {speeds[2]}, verified and synced {speeds[3]}; hub {peak_bytes / 1e6:.0f} MB", end="; ")
    shown = [
        f"{1000 * run.server_cpu_seconds / megabytes:.2f} + {1000 * run.receivers_cpu_seconds / megabytes:.2f}"
        for run in (done.kept, done.fetched)
    ]
    print(f"processor ms/MB, server + receivers: bare {shown[0]}, ours {shown[1]}", flush=True)


def ratios(done: list[Round], packed: float) -> dict[str, float]:
    """Returns the medians of what is the ratio of two runs of a round."""
    return {
        "throughput_ratio": median(run.kept.seconds / run.fetched.seconds for run in done),
        "discarded_throughput_ratio": median(run.discarded.seconds / run.fetched.seconds for run in done),
        "server_throughput_ratio": median(run.discarded.seconds / run.received.seconds * packed for run in done),
        "cpu_ratio": median(run.kept.cpu_seconds / run.fetched.cpu_seconds for run in done),
    }


def cpu_times(done: list[Round], megabytes: float) -> dict[str, float]:
    """Returns the medians of the processor's milliseconds for each MB of the version."""
    return {
        "hub_cpu_ms_per_mb": 1000 * median(run.fetched.server_cpu_seconds for run in done) / megabytes,
        "agents_cpu_ms_per_mb": 1000 * median(run.fetched.receivers_cpu_seconds for run in done) / megabytes,
        "bare_server_cpu_ms_per_mb": 1000 * median(run.kept.server_cpu_seconds for run in done) / megabytes,
        "bare_clients_cpu_ms_per_mb": 1000 * median(run.kept.receivers_cpu_seconds for run in done) / megabytes,
    }


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--bundle", type=Path, default=Path("build/models/smollm2-135m-instruct-int8"), help="for example build/models/NAME"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the throughput, for example 5")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder), AGENTS) as site:
        versions = {name: publish(site, path, name) for name, path in variants(options.bundle, Path(folder))}
        told, whole_bytes = count_bytes(site, versions)
        with bare_server(site.data) as bare:
            told |= race(site, bare, versions["1.0.0"], whole_bytes, options.rounds)
        told["load_of_others"] = load
    print(json.dumps({name: round(value, 6) for name, value in told.items()}))


if __name__ == "__main__":
    main()
