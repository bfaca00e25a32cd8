"""A Merkle tree in memory, as a store keeps it."""

from collections.abc import Sequence

from contract.merkle import Frontier, Nodes


def kept(leaves: Sequence[bytes]) -> Nodes:
    """Returns the nodes of the tree over some leaves' hashes."""
    frontier = Frontier()
    nodes = {(node.level, node.position): node.hash for leaf in leaves for node in frontier.append(leaf)}
    return lambda level, position: nodes[level, position]
