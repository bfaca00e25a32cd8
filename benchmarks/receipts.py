"""What a receipt costs: appending to a log that is empty, and to one of a million receipts; and verifying all of it.

The last line is JSON:

- append_empty_microseconds, append_full_microseconds: the median of appends within one transaction, so that the disk's sync is not in it:
  the receipt, its leaf, and the nodes that are complete with it;
- append_ratio: of the full log by the empty one;
- tree_microseconds: of these, the leaf and its nodes alone, in the full log;
- sign_milliseconds: of a head of the full log, signature included;
- verify_seconds: of the whole log, every leaf hashed and every node compared; no content is kept of the receipts that fill it;
- bytes_a_leaf: of the file, by the leaves that fill it.
"""

import argparse
import asyncio
import json
import random
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from cryptography.hazmat.primitives.asymmetric import ec
from sqlite_utils import Database as Tables

from agent.log_check import check_log
from agent.store.database import Database
from agent.store.heads import HeadStore
from agent.store.receipt_tree import append_leaf
from contract.merkle import Frontier
from contract.receipts import Receipt
from contract.tree_heads import sign_head

APPENDS = 2000
CHUNK = 50_000


def example(number: int) -> Receipt:
    """Returns a receipt of usual size."""
    reasons = ("nothing-found", "public-may-leave", "confident")
    digest = f"sha256:{number:064x}"
    time = "2026-11-28T12:00:00.000+00:00"
    model = "models/smollm2-135m-instruct/versions/1.2.0"
    return Receipt(f"r{number}", f"p{number}", time, "local", reasons, "public", (), 0.8, False, model, digest, None, 979.1)


def append(tables: Tables, begin: int, with_row: bool) -> float:
    """Appends receipts. Returns the median, seconds."""
    seconds = []
    for number in range(begin, begin + APPENDS):
        text = example(number).leaf("till")
        start = perf_counter()
        leaf = append_leaf(tables, text)
        if with_row:
            row = {"receipt_id": f"r{number}", "client": "till", "receipt": text, "create_time": 1.0, "leaf": leaf}
            tables.table("receipts").insert(row)
        seconds.append(perf_counter() - start)
    return median(seconds)


async def fill(database: Database, leaves: int) -> None:
    """Grows the tree by so many leaves, as if their receipts had been forgotten."""
    randomness, frontier = random.Random(1), Frontier()

    def work(tables: Tables) -> None:
        nodes = [node for _ in range(CHUNK) for node in frontier.append(randomness.randbytes(32))]
        rows = ((node.level, node.position, node.hash) for node in nodes)
        tables.conn.executemany("INSERT INTO receipt_nodes VALUES (?, ?, ?)", rows)

    while frontier.size < leaves:
        await database.run(work)


def file_bytes(tables: Tables) -> int:
    """Returns the size of the store's file."""
    (pages,), (page_bytes,) = (tables.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return int(pages) * int(page_bytes)


async def measure(folder: Path, leaves: int) -> dict[str, float]:
    """Returns the figures."""
    empty, full = Database(folder / "empty.db"), Database(folder / "full.db")
    at_first = await empty.run(lambda tables: append(tables, 0, with_row=True))
    await fill(full, leaves)
    size_bytes = await full.run(file_bytes)
    at_last = await full.run(lambda tables: append(tables, leaves, with_row=True))
    tree = await full.run(lambda tables: append(tables, leaves + APPENDS, with_row=False))
    key, start = ec.generate_private_key(ec.SECP256R1()), perf_counter()
    now = datetime.now(UTC).replace(microsecond=0)
    await HeadStore(full, 1e9).sign("agents/benchmark", lambda head: sign_head(key, head), now, lambda _: True)
    signed, start = perf_counter() - start, perf_counter()
    checked = await full.run(lambda tables: check_log(tables, None, now))
    verified = perf_counter() - start
    empty.close()
    full.close()
    return {
        "leaves": checked.receipts,
        "append_empty_microseconds": round(at_first * 1e6, 1),
        "append_full_microseconds": round(at_last * 1e6, 1),
        "append_ratio": round(at_last / at_first, 2),
        "tree_microseconds": round(tree * 1e6, 1),
        "sign_milliseconds": round(signed * 1e3, 2),
        "verify_seconds": round(verified, 1),
        "bytes_a_leaf": round(size_bytes / leaves, 1),
    }


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leaves", type=int, default=1_000_000, help="how many receipts the full log has")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), arguments.leaves))))


if __name__ == "__main__":
    main()
