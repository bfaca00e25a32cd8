import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.blocks import BLOCK, BlockWeight, pack_nibbles
from models.columns import with_offset_columns
from tests.unit.models.test_blocks import unpacked


def random_weight(blocks: int, rows: int, scale: float) -> BlockWeight:
    random = np.random.default_rng(blocks)
    quants = random.integers(0, 16, (rows, blocks, BLOCK)).astype(np.uint8)
    scales = random.random((rows, blocks), np.float32)
    offsets = (random.standard_normal((rows, blocks)) * scale).astype(np.float32)
    return BlockWeight(4, pack_nibbles(quants), scales, blocks * BLOCK, offsets)


@given(blocks=st.integers(1, 70), scale=st.sampled_from([0.0, 1e-3, 1.0, 100.0]))
def test_the_wider_product_is_the_product_with_offsets(blocks: int, scale: float) -> None:
    weight = random_weight(blocks, rows=5, scale=scale)
    assert weight.offsets is not None
    wide, copies = with_offset_columns(weight)
    x = np.random.default_rng(0).standard_normal((3, weight.columns)).astype(np.float32)
    means = x.reshape(3, blocks, BLOCK).mean(axis=-1)
    wide_x = np.concatenate([x, *[means] * copies], axis=1)
    assert wide.columns == wide_x.shape[1]
    assert wide.offsets is None

    product = wide_x @ unpacked(wide)[:, : wide.columns].T
    # Two digits leave a 15th of a 7th of the row's largest offset, halved by rounding: on each of the block sums.
    allowed = np.abs(weight.offsets).max(axis=1) / (7 * 15 * 2) * BLOCK * np.abs(means).sum(axis=1)[:, None]
    assert (np.abs(product - x @ unpacked(weight).T) <= allowed * 1.01 + 1e-3).all()


def test_a_weight_without_offsets_has_no_columns_to_get() -> None:
    weight = random_weight(2, rows=1, scale=1.0)
    with pytest.raises(ValueError, match="needs no columns"):
        with_offset_columns(BlockWeight(4, weight.packed, weight.scales, weight.columns))
