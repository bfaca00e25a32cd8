"""Weight matrices in the form that onnxruntime's MatMulNBits multiplies: blocks of values along each row, 32 where nothing else is said.

Precisions, for a GGUF Q4_1 block `w = d*q + m` with q in 0..15:

    int8          8-bit symmetric blocks, rounded from the dequantized weights; of a whole model, in another basis and wider ones
                  (rounding.py)
    int4-exact    4-bit blocks `d*(q - 8)`, and the offset `m + 8d` of each block beside them as float32
    int4-columns  the same, the offsets written as two 4-bit digits (about 8 bits) in extra columns: fewer nodes

A zero point that is rounded to 4 bits breaks a small model, and one kept as float falls to a slow kernel: hence the offsets.
Q8_0 is always copied as it is, Q4_0 in the int4 precisions. Float weights become Q4_1 first in the int4 precisions, anything else
becomes int8. The formats are those of ggml-common.h.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from models.errors import unsupported

BLOCK = 32
"""Values that share a scale: what GGUF's simple formats have, so that they can be copied."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_FLOATS = (Kind.F32, Kind.F16, Kind.BF16)
_FOUR_BIT = (Kind.Q4_0, Kind.Q4_1)


class Precision(StrEnum):
    """How a bundle's weights are stored."""

    INT8 = "int8"
    INT4_EXACT = "int4-exact"
    INT4_COLUMNS = "int4-columns"


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix as its file stores it, one row for each output: `raw` is uint8 rows of blocks, or floats."""

    raw: NDArray[np.generic]
    kind: Kind

    def values(self) -> Floats:
        """Returns the matrix as float32 [rows, columns]."""
        return np.asarray(gguf.quants.dequantize(self.raw, self.kind), np.float32)


@dataclass(frozen=True, slots=True)
class BlockWeight:
    """A [rows, columns] matrix: `w = scale * (q - 2**(bits - 1)) + offset`, scale and offset one for each block.

    Args:
        bits: 4 or 8.
        packed: q as uint8 [rows, blocks, block * bits / 8]; of two nibbles the low one comes first.
        scales: float32 [rows, blocks].
        columns: how many; the last block may be wider than what is left of them.
        offsets: float32 [rows, blocks], or None where all are zero.
    """

    bits: int
    packed: Bytes
    scales: Floats
    columns: int
    offsets: Floats | None = None

    @property
    def rows(self) -> int:
        """How many outputs the product has."""
        return len(self.scales)

    @property
    def block(self) -> int:
        """How many values share a scale."""
        return int(self.packed.shape[2]) * 8 // self.bits


def to_blocks(matrix: Matrix, precision: Precision) -> BlockWeight:
    """Turns one stored matrix into blocks.

    Raises:
        InvalidRequest: MODEL_SOURCE_INVALID: its rows are no multiple of 32.
    """
    if precision is not Precision.INT8 and matrix.kind in _FLOATS:
        matrix = Matrix(gguf.quants.quantize(_checked(matrix.values()), Kind.Q4_1), Kind.Q4_1)
    if matrix.kind is Kind.Q8_0:
        header, payload = _split(matrix, header_bytes=2)
        return BlockWeight(8, payload ^ np.uint8(128), header[..., 0], BLOCK * header.shape[1])
    if precision is Precision.INT8 or matrix.kind not in _FOUR_BIT:
        return quantize_int8(matrix.values())
    header, payload = _split(matrix, header_bytes=4 if matrix.kind is Kind.Q4_1 else 2)
    # ggml keeps value j of a block in the low and value j + 16 in the high nibble of byte j.
    quants = np.concatenate([payload & 15, payload >> 4], axis=-1)
    weight = BlockWeight(4, pack_nibbles(quants), header[..., 0], BLOCK * header.shape[1])
    return replace(weight, offsets=header[..., 1] + 8 * weight.scales) if matrix.kind is Kind.Q4_1 else weight


def quantize_int8(values: Floats) -> BlockWeight:
    """Rounds float32 [rows, columns] to 8-bit symmetric blocks."""
    blocks = _checked(values).reshape(values.shape[0], -1, BLOCK)
    scales = np.abs(blocks).max(axis=-1) / np.float32(127)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    return BlockWeight(8, (np.rint(blocks * inverse[..., None]) + 128).astype(np.uint8), scales, values.shape[1])


def stack(parts: Sequence[BlockWeight]) -> BlockWeight:
    """Puts matrices of one bit width below each other, so that one product serves several projections."""
    offsets = None
    if any(part.offsets is not None for part in parts):
        offsets = np.concatenate([np.zeros_like(part.scales) if part.offsets is None else part.offsets for part in parts])
    packed = np.concatenate([part.packed for part in parts])
    return BlockWeight(parts[0].bits, packed, np.concatenate([part.scales for part in parts]), parts[0].columns, offsets)


def pack_nibbles(quants: Bytes) -> Bytes:
    """Packs values 0..15, uint8 [..., n], into [..., n / 2]."""
    return np.asarray(quants[..., 0::2] | (quants[..., 1::2] << 4), np.uint8)


def _split(matrix: Matrix, header_bytes: int) -> tuple[Floats, Bytes]:
    """Returns the float32 headers [rows, blocks, header_bytes / 2] and the payload bytes [rows, blocks, bytes]."""
    blocks = np.asarray(matrix.raw, np.uint8).reshape(matrix.raw.shape[0], -1, gguf.GGML_QUANT_SIZES[matrix.kind][1])
    halves = np.ascontiguousarray(blocks[..., :header_bytes]).view(np.float16)
    return halves.astype(np.float32), blocks[..., header_bytes:]


def _checked(values: Floats) -> Floats:
    if values.shape[1] % BLOCK:
        raise unsupported(f"a weight has rows of {values.shape[1]} values, which is no multiple of {BLOCK}")
    return np.ascontiguousarray(values, np.float32)
