import numpy as np
import pytest

from models.blocks import BlockWeight, Floats
from models.compensation import round_compensated

RANDOM = np.random.default_rng(3)


def values_of(weight: BlockWeight) -> Floats:
    blocks = (weight.packed.astype(np.float32) - 128) * weight.scales[..., None]
    return blocks.reshape(weight.rows, -1)[:, : weight.columns]


def inputs(columns: int, directions: int) -> Floats:
    """Inputs that move together: most of them lies in a few directions."""
    mixing = RANDOM.standard_normal((directions, columns))
    return (RANDOM.standard_normal((4 * columns, directions)) @ mixing + 0.05 * RANDOM.standard_normal((4 * columns, columns))).astype(
        np.float32
    )


def test_inputs_that_do_not_move_together_leave_plain_rounding() -> None:
    values = RANDOM.standard_normal((5, 64)).astype(np.float32)
    weight = round_compensated(values, np.eye(64, dtype=np.float32), 32)
    assert np.abs(values_of(weight) - values).max() <= weight.scales.max() / 2 * 1.001


@pytest.mark.parametrize(("columns", "block"), [(64, 32), (96, 128), (200, 128)])
def test_products_lose_less_than_by_plain_rounding(columns: int, block: int) -> None:
    values, x = RANDOM.standard_normal((40, columns)).astype(np.float32), inputs(columns, columns // 8)
    plain = round_compensated(values, np.eye(columns, dtype=np.float32), block)
    compensated = round_compensated(values, (x.T @ x / len(x)).astype(np.float32), block)
    lost = [float(np.square(x @ (values_of(weight) - values).T).mean()) for weight in (plain, compensated)]
    assert lost[1] < 0.5 * lost[0]
    assert compensated.block == block


def test_what_fills_the_last_block_up_is_zero() -> None:
    weight = round_compensated(RANDOM.standard_normal((3, 40)).astype(np.float32), np.eye(40, dtype=np.float32), 32)
    assert weight.packed.shape == (3, 2, 32)
    assert np.all(weight.packed[:, 1, 8:] == 128)


def test_inputs_that_never_came_and_rows_of_zeros_are_rounded_as_they_are() -> None:
    values = np.vstack([RANDOM.standard_normal((2, 32)), np.zeros((1, 32))]).astype(np.float32)
    weight = round_compensated(values, np.zeros((32, 32), np.float32), 32)
    assert np.abs(values_of(weight) - values).max() <= weight.scales.max() / 2 * 1.001
    assert np.all(weight.scales[2] == 0)
