"""Rounding a matrix so that its products come out right, not its entries.

What is lost by rounding one column is made up for in the columns that are still to be rounded, as far as their inputs move together
(Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", section 3, with the columns in
their order).
"""

import numpy as np
from numpy.typing import NDArray

from models.blocks import BlockWeight, Floats

_LEVELS = 127
_DAMPING = 0.01
"""Of the mean of the diagonal, added to it: inputs that the text never moved keep the matrix from being inverted (GPTQ, section 3.3)."""


def round_compensated(values: Floats, moments: Floats, block: int) -> BlockWeight:
    """Rounds float32 [rows, columns] to 8-bit symmetric blocks.

    Args:
        values: the matrix.
        moments: of its inputs x, the mean of `x x^T`, [columns, columns].
        block: values that share a scale; the last block is filled up with zeros where it is wider than what is left.
    """
    rows, columns = values.shape
    feedback = _feedback(moments)
    rest = np.ascontiguousarray(values.T)  # a column of the matrix lies together here
    count = -(-columns // block)
    packed = np.full((rows, count, block), _LEVELS + 1, np.uint8)
    scales = np.zeros((rows, count), np.float32)
    for index in range(count):
        start, end = index * block, min((index + 1) * block, columns)
        part, own = rest[start:end], feedback[start:end]
        scales[:, index] = np.abs(part).max(axis=0) / np.float32(_LEVELS)
        levels, errors = _round_block(part, scales[:, index], own[:, start:end])
        packed[:, index, : end - start] = levels.T
        rest[end:] -= own[:, end:].T @ errors
    return BlockWeight(8, packed, scales, columns)


def _round_block(part: Floats, scales: Floats, feedback: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Rounds one block, [columns, rows], which it uses up; returns its levels, and what each column has lost, in units of its feedback."""
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    levels, errors = np.empty(part.shape, np.uint8), np.empty_like(part)
    for column, value in enumerate(part):
        level = np.clip(np.rint(value * inverse), -_LEVELS, _LEVELS)
        levels[column] = level + (_LEVELS + 1)
        errors[column] = (value - level * scales) / feedback[column, column]
        part[column + 1 :] -= np.outer(feedback[column, column + 1 :], errors[column])
    return levels, errors


def _feedback(moments: Floats) -> Floats:
    """Returns the upper Cholesky factor of the inverse of the damped moments."""
    exact = moments.astype(np.float64)
    exact += np.eye(len(exact)) * max(_DAMPING * np.trace(exact) / len(exact), np.finfo(np.float32).tiny)
    return np.asarray(np.linalg.cholesky(np.linalg.inv(exact)).T, np.float32)
