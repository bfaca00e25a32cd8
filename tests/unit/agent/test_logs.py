"""What is written to the log, seen as a process writes it."""

import json
import subprocess
import sys

import pytest

FAILS = """
import sys
import structlog
from agent.logs import set_up_logs

set_up_logs(sys.argv[1], json_lines=sys.argv[2] == "json")
log = structlog.get_logger("test")
log.debug("fine")

def fail(prompt):
    raise ValueError(f"cannot read {prompt}")

try:
    fail("my pin is 4921")
except ValueError as error:
    log.exception("failed", client="c1")
    log.error("failed again", exc_info=error)
log.error("no error at hand", exc_info=True)
"""


def logged(level: str, form: str) -> str:
    done = subprocess.run([sys.executable, "-c", FAILS, level, form], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_is_told_by_its_type_and_place_never_by_words_or_variables(form: str) -> None:
    log = logged("info", form)
    assert "4921" not in log
    assert "ValueError" in log
    assert "fail:" in log


def test_json_lines_hold_level_time_and_fields() -> None:
    first, second, third = (json.loads(line) for line in logged("info", "json").splitlines())
    assert (first["event"], first["level"], first["client"], first["error"]) == ("failed", "error", "c1", "ValueError")
    assert first["timestamp"].endswith("Z")
    assert first["frames"][-1].startswith("fail:")
    assert second["frames"] == first["frames"]
    assert "error" not in third


def test_the_level_is_kept() -> None:
    assert "fine" in logged("debug", "json")
    assert "fine" not in logged("info", "json")


KEEPS = """
import json
import structlog
from agent.logs import set_up_logs

logs = set_up_logs("info", json_lines=False)
log = structlog.get_logger("test")
log.debug("too fine")
logs.set_level("debug")
log.debug("fine enough")
logs.set_level(None)
log.debug("too fine again")
for number in range(3000):
    log.info("line", number=number, filler="x" * number)
try:
    raise ValueError("my word is swordfish")
except ValueError:
    log.exception("failed")
print(json.dumps([logs.latest(3000), logs.latest(2)]))
"""


def test_the_latest_lines_are_kept_in_memory_bounded_and_without_words_of_errors() -> None:
    done = subprocess.run([sys.executable, "-c", KEEPS], check=True, capture_output=True, text=True)
    everything, two = json.loads(done.stdout)
    assert len(everything) == 2000
    assert max(len(line) for line in everything) == 2000
    assert two == everything[-2:]
    assert "fine enough" in done.stderr
    assert "too fine" not in done.stderr
    assert "failed" in two[1]
    assert "swordfish" not in done.stderr + done.stdout
