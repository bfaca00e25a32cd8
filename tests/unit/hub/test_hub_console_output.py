"""What agents say reaches the operator's terminal as text, whatever it is."""

import json
from collections.abc import Callable

import pytest

from hub.console.events import _line
from hub.console.options import Output, print_all, print_one
from seawall.hub.v1 import agent_pb2, command_pb2, event_pb2

MARKUP = "[/etc/seawall] [bold]is not there[/bold] [link=http://evil]"
TERMINAL = "\x1b]0;owned\x07\x1b[2J \x9b31m \x7f \r \u202e"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setenv("COLUMNS", "200")
    return lambda: capsys.readouterr().out


def is_harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def test_a_table_shows_markup_as_it_is(said: Callable[[], str]) -> None:
    print_all([event_pb2.Event(detail=MARKUP)], Output.TABLE, ("Detail",), [(MARKUP,)])
    assert MARKUP in said()


@pytest.mark.parametrize("output", list(Output))
def test_no_terminal_sequence_reaches_the_terminal(said: Callable[[], str], output: Output) -> None:
    print_all([event_pb2.Event(detail=TERMINAL)], output, ("Detail",), [(TERMINAL,)])
    print_one(agent_pb2.Agent(name="agents/plant-7", refusal=TERMINAL, labels={"site": TERMINAL}), output)
    print(_line(event_pb2.Event(detail=TERMINAL), output))
    shown = said()
    assert is_harmless(shown)
    assert "u001b]0;owned" in shown or "x1b]0;owned" in shown


def test_json_gives_back_what_was_said(said: Callable[[], str]) -> None:
    print_one(event_pb2.Event(detail=MARKUP + TERMINAL), Output.JSON)
    assert json.loads(said()) == {"detail": MARKUP + TERMINAL}


def test_the_lines_of_an_output_stay_lines_and_cannot_pass_for_fields(said: Callable[[], str]) -> None:
    print_one(command_pb2.Command(output="ok model\nstate: SUCCEEDED", error="ærlig"), Output.TABLE)
    assert said() == "output: ok model\n    state: SUCCEEDED\nerror: ærlig\n"


def test_an_event_is_one_line(said: Callable[[], str]) -> None:
    print(_line(event_pb2.Event(sequence=7, type="CONFIGURATION_REFUSED", detail="no\n8 AGENT_RETIRED"), Output.TABLE))
    assert len(said().splitlines()) == 1
