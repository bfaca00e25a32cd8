"""The engines that `benchmarks/inference.py` compares, each in a process of its own, so that neither's threads and memory touch another's.

Ours runs through the agent's `Engine`, timed where its pieces arrive. llama.cpp runs as xllamacpp's server, called without HTTP, by its own
clock. A bundle without stop tokens and `ignore_eos` let both write as many tokens as they are asked for.
"""

import asyncio
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agent.inference.engine import Engine, Piece
from agent.inference.loading import load_bundle
from agent.inference.settings import EngineSettings
from agent.prompts import Message, Sampling
from contract.bundle import BUNDLE_FILE

THREADS = 2
CONTEXT_TOKENS = 2048

Prompt = tuple[tuple[str, str], ...]
"""Roles and contents."""


@dataclass(frozen=True)
class Timing:
    """One answer.

    Args:
        first_seconds: from asking to the first token.
        step_seconds: from one token to the next, on average.
        tokens: their ids; empty for llama.cpp.
        arrivals: seconds at which each token came; empty for llama.cpp.
    """

    first_seconds: float
    step_seconds: float
    tokens: tuple[int, ...] = ()
    arrivals: tuple[float, ...] = ()


class Ours:
    """The agent's engine."""

    def __init__(self, bundle_folder: Path, settings: EngineSettings) -> None:
        self._engine = Engine(bundle_folder, settings)
        self._runner = asyncio.Runner()

    def answer(self, prompt: Prompt, tokens: int) -> Timing:
        """Answers one prompt."""
        return self._runner.run(self._answer(prompt, tokens))

    def answer_all(self, prompts: Sequence[Prompt], tokens: int) -> list[Timing]:
        """Answers all at once."""
        return self._runner.run(self._together([self._answer(prompt, tokens) for prompt in prompts]))

    def answer_late(self, prompts: Sequence[Prompt], tokens: int, late: Prompt) -> list[Timing]:
        """Answers all at once, and another that comes half a second later; that one is the last."""
        later = self._answer(late, 1, after_seconds=0.5)
        return self._runner.run(self._together([*(self._answer(prompt, tokens) for prompt in prompts), later]))

    async def _together(self, answers: Sequence[Any]) -> list[Timing]:
        return list(await asyncio.gather(*answers))

    async def _answer(self, prompt: Prompt, tokens: int, after_seconds: float = 0) -> Timing:
        await asyncio.sleep(after_seconds)
        messages = [Message(role, content) for role, content in prompt]  # type: ignore[arg-type]  # roles come as plain text
        asked = time.perf_counter()
        arrivals, chosen = [], []
        async for item in self._engine.generate(messages, Sampling(max_tokens=tokens)):
            if isinstance(item, Piece):
                arrivals.append(time.perf_counter())
                chosen.append(item.token_id)
        step = (arrivals[-1] - arrivals[0]) / max(1, len(arrivals) - 1)
        return Timing(arrivals[0] - asked, step, tuple(chosen), tuple(arrivals))


class LlamaCpp:
    """llama.cpp's server, called in its process. Takes token ids, so that both read the same ones."""

    def __init__(self, path: Path, slots: int) -> None:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.n_ctx, settings.n_parallel, settings.verbosity = CONTEXT_TOKENS * slots, slots, 0
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = THREADS
        self._server = xllamacpp.Server(settings)

    def answer(self, token_ids: Sequence[int], tokens: int) -> Timing:
        """Answers one prompt."""
        told = self._server.handle_completions(
            {"prompt": list(token_ids), "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        )["timings"]
        return Timing(told["prompt_ms"] / 1e3, told["predicted_ms"] / 1e3 / (told["predicted_n"] - 1))

    def answer_all(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[Timing]:
        """Answers all at once."""
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(lambda token_ids: self.answer(token_ids, tokens), prompts))


class Peer:
    """An engine in a child process.

    Args:
        make: makes it, in the child.
        arguments: of `make`.
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe()
        begun = time.perf_counter()
        self._process = context.Process(target=_serve, args=(child, make, arguments), daemon=True)
        self._process.start()
        self._connection.recv()
        self.ready_seconds = time.perf_counter() - begun

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method in the child; returns what it returns, and how long that took."""
        begun = time.perf_counter()
        self._connection.send((method, arguments))
        result = self._connection.recv()
        self.last_seconds = time.perf_counter() - begun
        return result

    def peak_bytes(self) -> int:
        """The most memory that the child has had resident."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ProcessLookupError(self._process.pid)

    def close(self) -> None:
        """Ends the child."""
        self._process.kill()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
    engine = make(*arguments)
    connection.send("ready")
    while True:
        method, values = connection.recv()
        connection.send(getattr(engine, method)(*values))


def endless_bundle(folder: Path, target: Path) -> Path:
    """Makes a bundle of the same files that never stops by itself."""
    target.mkdir()
    bundle = load_bundle(folder)
    for name in bundle.files:
        try:
            os.link(folder / name, target / name)
        except OSError:
            shutil.copy(folder / name, target / name)
    (target / BUNDLE_FILE).write_bytes(replace(bundle, stop_token_ids=()).to_json())
    return target


def write_q4_0(source: Path, target: Path) -> Path:
    """Writes a GGUF file's Q4_1 matrices as Q4_0, which llama.cpp multiplies fastest; all else as it is."""
    import gguf  # only here: the children's memory is measured

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            is_array = field.types[0] == gguf.GGUFValueType.ARRAY
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=field.types[-1] if is_array else None)
    for tensor in reader.tensors:
        data, kind = tensor.data, tensor.tensor_type
        if kind == gguf.GGMLQuantizationType.Q4_1:
            kind = gguf.GGMLQuantizationType.Q4_0
            data = gguf.quants.quantize(gguf.quants.dequantize(tensor.data, tensor.tensor_type), kind)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
