"""What traces cost, and say, when nobody has asked for them."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
{imports}
from {room}.config import TelemetrySettings
from {room}.tracing import open_tracing
tracing = open_tracing(TelemetrySettings(), "name")
assert not tracing.is_on
with tracing.step("a") as span:
    assert span.place is None
print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""


@pytest.mark.parametrize(("room", "imports"), [("agent", "import agent.daemon"), ("hub", "import hub.server")])
def test_opentelemetry_is_not_even_imported_whatever_its_variables_say(room: str, imports: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    program = PROGRAM.format(room=room, imports=imports)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"
