"""An agent that was started by a command line of the test's."""

import json
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.packaging.building import BUNDLE


class RunningAgent:
    """Starts it, and returns when it says that it is ready. Its configuration says port 0."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        )
        self.url = self._ready()

    def _ready(self) -> str:
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if '"event": "ready"' in line:
                return str(json.loads(line)["http"])
        raise AssertionError("".join(said))

    def ask(self, prompt: str) -> str:
        """Returns the answer, or its beginning."""
        body = {"model": BUNDLE.name.removesuffix("-int8"), "max_tokens": 16, "messages": [{"role": "user", "content": prompt}]}
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as response:
            answer: dict[str, Any] = json.load(response)
        return str(answer["choices"][0]["message"]["content"])

    def environment(self) -> dict[str, str]:
        """Returns what it was started with."""
        entries = Path(f"/proc/{self.process.pid}/environ").read_text().split("\0")
        return dict(entry.split("=", 1) for entry in entries if entry)

    def stop(self) -> int:
        """Ends it as systemd would, and returns its exit status."""
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode
