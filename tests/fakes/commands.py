"""A command as a process of its own, forked from one that has the imports done: a start takes milliseconds."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["agent.__main__", "hub.__main__", "models.__main__", "models.commands"])


def run_command(program: str, *arguments: str | Path, seconds: float, **variables: str) -> subprocess.CompletedProcess[str]:
    """Does what `python -m program` does, to its end, where the caller is.

    Args:
        program: `agent`, `hub` or `models`.
        arguments: of the command line.
        seconds: after which it is killed.
        variables: added to the environment.

    Raises:
        subprocess.TimeoutExpired: it did not end.
    """
    words = [program, *map(str, arguments)]
    with TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        status = _finish(words, {**os.environ, **variables}, (output, errors), seconds)
        return subprocess.CompletedProcess(words, status, output.read_text(), errors.read_text())


def _finish(words: list[str], environment: Mapping[str, str], streams: tuple[Path, Path], seconds: float) -> int:
    process = processes.Process(target=_main, args=(words, environment, Path.cwd(), streams))
    process.start()
    process.join(seconds)
    try:
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, seconds)
        return process.exitcode
    finally:
        process.close()


def _main(words: list[str], environment: Mapping[str, str], folder: Path, streams: tuple[Path, Path]) -> None:
    for path, number in zip(streams, (1, 2), strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = words
    import_module(f"{words[0]}.__main__").main()
