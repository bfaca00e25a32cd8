import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from contract.errors import InvalidRequest, Reason
from models.blocks import BLOCK, BlockWeight, Floats, Matrix, Precision, stack, to_blocks

INT4 = [Precision.INT4_EXACT, Precision.INT4_COLUMNS]


def random_matrix(kind: Kind, rows: int = 24, columns: int = 96) -> Matrix:
    values = np.random.default_rng(3).standard_normal((rows, columns)).astype(np.float32)
    return Matrix(gguf.quants.quantize(values, kind), kind)


def unpacked(weight: BlockWeight) -> Floats:
    """What MatMulNBits takes the weight to be, with the offsets that stand beside it."""
    quants = weight.packed
    if weight.bits == 4:
        quants = np.stack([quants & 15, quants >> 4], axis=-1).reshape(*quants.shape[:2], BLOCK)
    values = (quants.astype(np.float32) - 2 ** (weight.bits - 1)) * weight.scales[..., None]
    if weight.offsets is not None:
        values = values + weight.offsets[..., None]
    return np.asarray(values.reshape(weight.rows, -1), np.float32)


@pytest.mark.parametrize("precision", Precision)
def test_q8_0_is_copied_as_it_is_in_every_precision(precision: Precision) -> None:
    matrix = random_matrix(Kind.Q8_0)
    np.testing.assert_array_equal(unpacked(to_blocks(matrix, precision)), matrix.values())


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_1])
@pytest.mark.parametrize("precision", INT4)
def test_four_bit_blocks_keep_their_values_in_four_bits(kind: Kind, precision: Precision) -> None:
    matrix = random_matrix(kind)
    weight = to_blocks(matrix, precision)
    assert weight.bits == 4
    np.testing.assert_allclose(unpacked(weight), matrix.values(), atol=1e-6)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.BF16])
@pytest.mark.parametrize("precision", INT4)
def test_float_weights_become_q4_1_in_four_bits(kind: Kind, precision: Precision) -> None:
    matrix = random_matrix(kind)
    expected = gguf.quants.dequantize(gguf.quants.quantize(matrix.values(), Kind.Q4_1), Kind.Q4_1)
    np.testing.assert_allclose(unpacked(to_blocks(matrix, precision)), expected, atol=1e-6)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_1])
def test_int8_is_off_by_half_a_step_at_most(kind: Kind) -> None:
    matrix = random_matrix(kind)
    weight = to_blocks(matrix, Precision.INT8)
    error = np.abs(unpacked(weight) - matrix.values()).reshape(*weight.scales.shape, BLOCK)
    assert weight.bits == 8
    assert (error <= weight.scales[..., None] * 0.5 + 1e-6).all()


@pytest.mark.parametrize("kind", [Kind.F32, Kind.Q4_0, Kind.Q4_1, Kind.Q8_0])
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.5])
def test_a_constant_matrix_stays_constant(kind: Kind, precision: Precision, value: float) -> None:
    matrix = Matrix(gguf.quants.quantize(np.full((2, 64), value, np.float32), kind), kind)
    np.testing.assert_allclose(unpacked(to_blocks(matrix, precision)), matrix.values(), rtol=0.005)


@pytest.mark.parametrize("precision", Precision)
def test_rows_that_are_no_multiple_of_32_are_refused(precision: Precision) -> None:
    with pytest.raises(InvalidRequest, match="rows of 40 values") as caught:
        to_blocks(Matrix(np.ones((2, 40), np.float32), Kind.F32), precision)
    assert caught.value.reason is Reason.MODEL_SOURCE_INVALID


def test_stacked_matrices_keep_their_values_and_order() -> None:
    first, second = random_matrix(Kind.Q4_1), random_matrix(Kind.Q4_0, rows=8)
    stacked = stack([to_blocks(first, Precision.INT4_EXACT), to_blocks(second, Precision.INT4_EXACT)])
    np.testing.assert_allclose(unpacked(stacked), np.concatenate([first.values(), second.values()]), atol=1e-6)
