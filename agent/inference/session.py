"""The ONNX Runtime session and the key/value cache that it writes in place.

The cache is one block of memory: for each layer a key and a value array [rows, kv_heads, context, head_dim]. A run covers a
contiguous range of rows; its tensors are addresses inside the block and past and present are the same address, so that a run appends
in place and nothing is copied. Memory is touched where tokens are written, and given back by `release`.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as bindings

from contract.bundle import Shape
from contract.errors import InvalidRequest, Reason, SeawallError

Logits = npt.NDArray[np.float32]

ORT_ERRORS = tuple(kind for kind in vars(bindings).values() if isinstance(kind, type) and issubclass(kind, Exception))
"""What ONNX Runtime raises: a dozen classes without a base of their own."""


SUPPORTED_PROVIDERS = ("CPUExecutionProvider",)
"""The cache lies in the host's memory, where only this one appends to it in place. Another needs a cache in its own memory."""


class ModelFailed(SeawallError):
    """A run of the model failed; the answers that were in it are lost, later ones need not be."""

    http_status = 503
    grpc_code = "UNAVAILABLE"


class ModelSession:
    """Runs the graph over rows of the cache. Not thread-safe: one thread owns it.

    Args:
        model_file: the graph; its weights lie beside it.
        shape: the model's sizes.
        rows: of the cache.
        context_tokens: length of a row.
        threads: that compute, the caller's among them.
        provider: the execution provider.

    Raises:
        InvalidRequest: BUNDLE_INVALID, the graph cannot be loaded.
    """

    def __init__(
        self, model_file: Path, shape: Shape, rows: int, context_tokens: int, threads: int, provider: str = "CPUExecutionProvider"
    ) -> None:
        try:
            self._session = onnxruntime.InferenceSession(str(model_file), _options(threads), providers=[provider])
        except ORT_ERRORS as error:
            raise InvalidRequest(
                Reason.BUNDLE_INVALID, f"{model_file.name} is no graph that can run here ({type(error).__name__}). Fetch the bundle anew."
            ) from error
        self._shape = shape
        self._cache = _Cache(shape, rows, context_tokens)
        self._logits = np.zeros((rows, shape.vocabulary), np.float32)
        self._decoding: dict[int, _Run] = {}
        self._extending: dict[tuple[int, int], _Run] = {}

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """Feeds one token to each of the rows from 0 on.

        Args:
            tokens: the new token of each row.
            lengths: how many tokens each row holds before.

        Returns:
            Logits [rows, vocabulary], valid until the next run.
        """
        count = len(tokens)
        if count not in self._decoding:
            self._decoding[count] = self._run(first=0, count=count, positions=1)
        run = self._decoding[count]
        run.token_ids[:, 0] = tokens
        run.last_valid[:] = lengths
        run.total[0] = max(lengths) + 1
        self._execute(run)
        return run.logits

    def extend(self, row: int, tokens: Sequence[int], start: int, positions: int = 1) -> Logits:
        """Feeds several tokens to one row, which holds `start` tokens before.

        Returns:
            Logits [positions, vocabulary] of the last `positions` tokens, valid until the next run.
        """
        if (row, positions) not in self._extending:
            self._extending[row, positions] = self._run(first=row, count=1, positions=positions)
        run = self._extending[row, positions]
        run.set_tokens(np.array([tokens], np.int64))
        run.last_valid[0] = start + len(tokens) - 1
        run.total[0] = start + len(tokens)
        run.wanted[0] = np.arange(len(tokens) - positions, len(tokens))
        self._execute(run)
        return run.logits

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Copies what the row `source` holds for its tokens start..end-1 to the row `target`."""
        for array in self._cache.arrays:
            array[target, :, start:end] = array[source, :, start:end]

    def release(self, row: int) -> None:
        """Gives a row's memory back to the system; its tokens are lost."""
        self._cache.release(row)

    def _run(self, first: int, count: int, positions: int) -> "_Run":
        wanted = count * positions
        if wanted > len(self._logits):
            self._logits = np.zeros((wanted, self._shape.vocabulary), np.float32)
        run = _Run(self._session.io_binding(), count, positions, self._logits[:wanted])
        for name, array in zip(self._cache.names, self._cache.arrays, strict=True):
            run.bind_cache(name, array[first : first + count])
        return run

    def _execute(self, run: "_Run") -> None:
        try:
            self._session.run_with_iobinding(run.binding)
        except ORT_ERRORS as error:
            raise ModelFailed(Reason.INTERNAL, f"The model failed ({type(error).__name__}); ask again. `doctor` tells more.") from error


class _Cache:
    """The block of memory, and the arrays in it."""

    def __init__(self, shape: Shape, rows: int, context_tokens: int) -> None:
        self.names = [f"{kind}.{layer}" for layer in range(shape.layers) for kind in ("key", "value")]
        sizes = (len(self.names), rows, shape.kv_heads, context_tokens, shape.head_dim)
        self._row_bytes = shape.kv_heads * context_tokens * shape.head_dim * np.dtype(np.float32).itemsize
        self._memory = mmap.mmap(-1, len(self.names) * rows * self._row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # A huge page would be touched whole by the first of the 8,192 values in it that is written.
        self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.arrays = list(np.frombuffer(self._memory, np.float32).reshape(sizes))
        self._rows = rows

    def release(self, row: int) -> None:
        for index in range(len(self.arrays)):
            start = (index * self._rows + row) * self._row_bytes
            first_page = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (start + self._row_bytes - first_page) // mmap.PAGESIZE * mmap.PAGESIZE
            if length > 0:
                self._memory.madvise(mmap.MADV_DONTNEED, first_page, length)


class _Run:
    """A binding of the graph's inputs and outputs to fixed memory; only values change between runs."""

    def __init__(self, binding: Any, count: int, positions: int, logits: Logits) -> None:
        self.binding = binding
        self.last_valid = np.zeros(count, np.int32)
        self.total = np.zeros(1, np.int32)
        self.wanted = np.zeros((count, positions), np.int64)
        self.logits = logits
        self._bind_input("seqlens_k", self.last_valid)
        self._bind_input("total_sequence_length", self.total)
        self._bind_input("last_index", self.wanted)
        self._bind_output("logits", logits.reshape(count, positions, -1))
        self.set_tokens(np.zeros((count, 1), np.int64))

    def set_tokens(self, token_ids: npt.NDArray[np.int64]) -> None:
        """Binds new token ids [rows, tokens], of whatever length."""
        self.token_ids = token_ids
        self._bind_input("input_ids", token_ids)

    def bind_cache(self, name: str, view: Logits) -> None:
        self._bind_input("past_" + name, view)
        self._bind_output("present_" + name, view)

    def _bind_input(self, name: str, array: npt.NDArray[Any]) -> None:
        self.binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def _bind_output(self, name: str, array: npt.NDArray[Any]) -> None:
        self.binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Shapes differ from run to run: remembered patterns cost memory (80 MB here) and save nothing.
    options.enable_mem_pattern = False
    return options
