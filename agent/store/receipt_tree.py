"""The Merkle tree over the receipts, as rows: what is done within a transaction of somebody else's."""

from sqlite_utils import Database as Tables

from contract.merkle import Nodes, append, leaf_hash


def kept_nodes(tables: Tables) -> Nodes:
    """Returns the way to the nodes. One that is missing is a LookupError: the store is damaged."""

    def node(level: int, position: int) -> bytes:
        row = tables.execute("SELECT hash FROM receipt_nodes WHERE level = ? AND position = ?", [level, position]).fetchone()
        if row is None:
            raise LookupError(f"node {position} of level {level} is missing")
        return bytes(row[0])

    return node


def tree_size(tables: Tables) -> int:
    """Returns how many leaves there are."""
    (last,) = tables.execute("SELECT max(position) FROM receipt_nodes WHERE level = 0").fetchone()
    return 0 if last is None else int(last) + 1


def append_leaf(tables: Tables, text: str) -> int:
    """Adds a leaf. Returns its place, from 0.

    Raises:
        LookupError: the tree is damaged.
    """
    made = append(kept_nodes(tables), tree_size(tables), leaf_hash(text.encode()))
    tables.conn.executemany(
        "INSERT OR REPLACE INTO receipt_nodes VALUES (?, ?, ?)",  # where leaves were cut off, what stood over them is in the way
        [(node.level, node.position, node.hash) for node in made],
    )
    return made[0].position
