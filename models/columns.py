"""The offsets of 4-bit blocks as extra columns of the same matrix, so that one product does all.

`sum(offset[b] * sum(x[b]))` over the blocks b is a product with the block means of x. The means are appended to x some times
over (`copies`), and the matrix gets 4-bit columns for them. An offset needs more than 4 bits: it is a coarse digit plus a fine one of a
fifteenth of its step. All values of a block share a scale, so coarse and fine digits never stand in one block; which block serves
which digits of which offsets follows from the position of the mean it meets.
"""

from collections.abc import Iterator

import numpy as np

from models.blocks import BLOCK, BlockWeight, Floats, pack_nibbles

_TINY = np.float32(1e-30)


def with_offset_columns(weight: BlockWeight) -> tuple[BlockWeight, int]:
    """Moves the offsets into columns.

    Returns:
        The wider weight without offsets, and how many times the block means of x follow x.
    """
    if weight.offsets is None:
        raise ValueError("a weight without offsets needs no columns")
    rows, blocks = weight.scales.shape
    digits, steps = _digits(weight.offsets * np.float32(BLOCK))
    packed, scales, used = [weight.packed], [weight.scales], 0
    for level, takes in _layout(blocks):
        block = np.full((rows, 1, BLOCK), 8, np.uint8)
        for position, mean in takes.items():
            block[:, 0, position] = digits[level][:, mean] + 8
            used = BLOCK * (len(packed) - 1) + position + 1
        packed.append(pack_nibbles(block))
        scales.append(steps[level])
    copies = -(-used // blocks)
    while BLOCK * (len(packed) - 1) < copies * blocks:
        packed.append(np.full_like(packed[-1], 0x88))
        scales.append(steps[0])
    columns = (BLOCK + copies) * blocks
    return BlockWeight(4, np.concatenate(packed, axis=1), np.concatenate(scales, axis=1), columns), copies


def _digits(target: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Writes every offset as `coarse * step + fine * step / 15`; returns the digits (-8..7) and the steps, one a row."""
    step = np.maximum(np.abs(target).max(axis=1, keepdims=True) / np.float32(7), _TINY)
    fine_step = step / np.float32(15)
    coarse = np.rint(target / step)
    fine = np.clip(np.rint((target - coarse * step) / fine_step), -8, 7)
    return (coarse, fine), (step, fine_step)


def _layout(blocks: int) -> Iterator[tuple[int, dict[int, int]]]:
    """Yields, for each extra block, the level it serves (0 coarse, 1 fine) and which mean its positions take."""
    missing = (set(range(blocks)), set(range(blocks)))
    start = 0
    while missing[0] or missing[1]:
        means = [(start + position) % blocks for position in range(BLOCK)]
        level = 0 if missing[0].intersection(means) else 1
        takes: dict[int, int] = {}
        for position, mean in enumerate(means):
            if mean in missing[level]:
                missing[level].remove(mean)
                takes[position] = mean
        yield level, takes
        start += BLOCK
