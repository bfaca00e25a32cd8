"""What an update costs: bytes on the wire, bytes that come twice, and how fast one server feeds eight agents.

The wire is counted below gRPC, so framing and the index are in the figures. The last line is JSON:

- template_only_share: of the bundle's bytes, sent where only the chat template changed;
- added_file_bytes: sent where a file of 4 MB was added; unchanged_bytes: sent, the index apart, where nothing changed;
- resume_extra_share: sent more than without cuts, of a download that was cut `cuts` times;
- throughput_ratio: of one server's chunks to eight agents at once, by a bare gRPC stream to eight clients; neither does anything with the
  bytes, so that it is the server that is compared; the median of `rounds`;
- kept_throughput_ratio: the same where the agents verify and sync each chunk, all eight on this machine's processors and disk;
- hub_memory_growth_bytes: of the server's largest memory, from one download to eight at once.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path
from statistics import median
from typing import Any

from agent.update.chunk_folder import HeldFiles
from agent.update.fetcher import FetchSettings
from benchmarks.update_peers import Agent, Wire, fetch_together, receive_together, serve, stream_together
from contract.blobs import pack
from contract.bundle import BUNDLE_FILE
from contract.release import Index, blob_path
from models.chunks import index_folder

AGENTS = 8
CUTS = 50
ADDED_BYTES = 4_000_000
PROCESSES: SpawnContext = multiprocessing.get_context("spawn")
HASTY = FetchSettings(attempts=100, first_delay_seconds=0.02, longest_delay_seconds=0.1)


@dataclass(frozen=True)
class Version:
    """A version that is served."""

    folder: Path
    index: Index

    @property
    def path(self) -> str:
        """Where the server has its index."""
        return f"{self.index.version}.json"


def publish(folder: Path, version: str, served: Path) -> Version:
    """Puts a bundle's index and blobs where the server finds them."""
    index, places = index_folder(folder, "benchmark", version)
    (served / f"{version}.json").write_bytes(index.to_json())
    for digest, place in places.items():
        path = served / blob_path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pack(place.read()))
    return Version(folder, index)


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


async def sent_bytes(port: int, version: Version, cuts: int = 0, installed: Version | None = None, whole_bytes: int = 0) -> int:
    """Returns what the server sends to an agent that fetches a version."""
    wire = Wire()
    wire.cut_at = sorted(random.Random(3).randrange(whole_bytes * 9 // 10) for _ in range(cuts)) if cuts else []
    held = (HeldFiles(installed.folder, installed.index),) if installed else ()
    with tempfile.TemporaryDirectory() as folder:
        async with wire.to(port) as wire_port:
            agent = Agent(wire_port, Path(folder), HASTY)
            index = await agent.fetch(version.path, held)
        if any(agent.chunks.find(chunk) is None and not held for chunk in index.chunks().values()) or wire.cuts != cuts:
            raise EOFError(f"not all of it came, or {wire.cuts} of {cuts} cuts")
    return wire.sent_bytes


def seconds_together(target: Callable[..., None], port: int, what: Any) -> float:
    """Returns how long eight processes take that begin at the same time: from the first's beginning to the last's end."""
    barrier = PROCESSES.Barrier(AGENTS)
    pipes = [PROCESSES.Pipe(duplex=False) for _ in range(AGENTS)]
    processes = [PROCESSES.Process(target=target, args=(port, what, barrier, times)) for _, times in pipes]
    for process in processes:
        process.start()
    moments = [ours.recv() for ours, _ in pipes]
    for process in processes:
        process.join()
    return float(max(end for _, end in moments) - min(begun for begun, _ in moments))


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, Callable[[], int]]]:
    """Yields the port of a server in a process of its own, and what asks for its largest memory."""
    ours, its = PROCESSES.Pipe()
    process = PROCESSES.Process(target=serve, args=(folder, its))
    process.start()
    try:
        yield ours.recv(), lambda: _ask(ours)
    finally:
        ours.send(False)
        process.join()


def _ask(pipe: Connection) -> int:
    pipe.send(True)
    return int(pipe.recv())


def measure(port: int, memory: Callable[[], int], versions: dict[str, Version], rounds: int) -> dict[str, float]:
    """Returns all figures."""
    first, template, added = (versions[name] for name in ("1.0.0", "1.1.0", "1.2.0"))
    whole = asyncio.run(sent_bytes(port, first))
    cut = asyncio.run(sent_bytes(port, first, CUTS, whole_bytes=whole))
    print(f"whole {whole / 1e6:.1f} MB, with {CUTS} cuts {cut / 1e6:.1f} MB", flush=True)
    template_bytes = asyncio.run(sent_bytes(port, template, installed=first))
    added_bytes = asyncio.run(sent_bytes(port, added, installed=first))
    again_bytes = asyncio.run(sent_bytes(port, first, installed=first))
    before = memory()
    print(f"template {template_bytes} B, added {added_bytes} B, again {again_bytes} B")
    ratios, kept = [], []
    for _ in range(rounds):
        bare = seconds_together(stream_together, port, whole)
        received, fetched = (seconds_together(target, port, first.path) for target in (receive_together, fetch_together))
        ratios.append(bare / received)
        kept.append(bare / fetched)
        speeds = [f"{AGENTS * whole / seconds / 1e6:.0f}" for seconds in (bare, received, fetched)]
        print(f"eight at once, MB/s: bare {speeds[0]}, chunks {speeds[1]}, chunks verified and synced {speeds[2]}", flush=True)
    return {
        "template_only_share": template_bytes / first.index.size_bytes(),
        "added_file_bytes": added_bytes,
        "unchanged_bytes": again_bytes - len(first.index.to_json()),
        "resume_extra_share": cut / whole - 1,
        "throughput_ratio": median(ratios),
        "kept_throughput_ratio": median(kept),
        "hub_memory_growth_bytes": memory() - before,
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
    with tempfile.TemporaryDirectory() as folder:
        served = Path(folder) / "served"
        served.mkdir()
        versions = {name: publish(path, name, served) for name, path in variants(options.bundle, Path(folder))}
        with server(served) as (port, memory):
            told = {**measure(port, memory, versions, options.rounds), "load_of_others": load}
    print(json.dumps({name: round(value, 6) for name, value in told.items()}))


if __name__ == "__main__":
    main()
