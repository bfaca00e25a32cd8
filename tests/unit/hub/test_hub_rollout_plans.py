"""What operators type for a rollout."""

from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from contract.errors import InvalidRequest
from hub.console.rollout_plans import ANY_NUMBER, default_waves, limit_failures, put_together, read_file, read_wave, read_window
from hub.console.rollout_views import agent_row, summary, table
from seawall.hub.v1 import rollout_pb2

VERSION = "models/x/versions/2"


def test_a_wave_is_a_filter_and_options_in_any_order() -> None:
    wave = read_wave("labels.site = oslo; percent=50, soak=1h, patience=2d, approve")
    assert (wave.expression, wave.percent, wave.needs_approval) == ("labels.site = oslo", 50, True)
    assert (wave.soak_time.ToTimedelta(), wave.patience.ToTimedelta()) == (timedelta(hours=1), timedelta(days=2))
    assert read_wave("percent=10; labels.a = b; approve") == rollout_pb2.Wave(expression="labels.a = b", percent=10, needs_approval=True)
    assert read_wave("") == rollout_pb2.Wave()


@pytest.mark.parametrize(
    ("text", "said"),
    [("percent=0", "from 1 to 100"), ("percent=x", "from 1 to 100"), ("soak=soon", "15m"), ("a = b; c = d", "two filters")],
)
def test_a_wave_that_cannot_be_read_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_wave(text)
    assert said in raised.value.message


def test_a_window_names_hours_and_days() -> None:
    assert read_window("22:00-06:00") == rollout_pb2.Window(begin="22:00", end="06:00")
    assert list(read_window("Fri-Mon 22:00-06:00").days) == [5, 6, 7, 1]
    assert list(read_window("mon,wed 10:00-11:00").days) == [1, 3]
    for wrong in ("tonight", "moon 10:00-11:00", "10-11"):
        with pytest.raises(InvalidRequest, match="mon-fri 22:00-06:00"):
            read_window(wrong)


def test_without_waves_a_canary_comes_first() -> None:
    wanted = put_together(rollout_pb2.Rollout(), VERSION, "", [], [])
    assert list(wanted.waves) == default_waves()
    assert (wanted.waves[0].percent, len(wanted.waves)) == (10, 2)
    with pytest.raises(InvalidRequest, match="--version"):
        put_together(rollout_pb2.Rollout(), "", "", [], [])


@pytest.mark.parametrize(
    ("number", "share", "after"), [(None, None, (5, 0.5)), (3, None, (3, 1)), (None, 0.1, (ANY_NUMBER, 0.1)), (0, 0.0, (0, 0))]
)
def test_one_limit_of_failures_alone_lets_the_other_one_pass(number: int | None, share: float | None, after: tuple[int, float]) -> None:
    gates = rollout_pb2.Gates(max_failed=5, max_failed_share=0.5)
    limit_failures(gates, number, share)
    assert (gates.max_failed, gates.max_failed_share) == after


def test_a_file_says_all_and_what_is_typed_goes_before(tmp_path: Path) -> None:
    toml = tmp_path / "june.toml"
    toml.write_text(f"""
model_version = "{VERSION}"
windows = [{{ days = [1], begin = "22:00", end = "23:00" }}]
trial = {{ shadow_percent = 5, probation_limit = "2h" }}
[gates]
max_failed = 2
[[waves]]
percent = 20
soak_time = "90s"
""")
    json = tmp_path / "june.json"
    json.write_text(f'{{"modelVersion": "{VERSION}", "waves": [{{"percent": 20, "soakTime": "1h"}}]}}')
    wanted = put_together(read_file(toml), "", "labels.a = b", ["percent=30"], ["10:00-11:00"])
    assert (wanted.model_version, wanted.expression, wanted.waves[0].percent) == (VERSION, "labels.a = b", 30)
    assert (wanted.windows[0].begin, wanted.gates.max_failed, wanted.trial.probation_limit.seconds) == ("10:00", 2, 7200)
    assert read_file(toml).waves[0].soak_time.seconds == 90
    assert read_file(json).waves[0].soak_time.seconds == 3600


@pytest.mark.parametrize("text", ["model = ", 'wave = "x"', 'model_version = 5\nwaves = "all"'])
def test_a_file_that_is_no_rollout_says_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "june.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match="is no rollout"):
        read_file(file)


def test_what_agents_say_does_nothing_to_the_terminal() -> None:
    report = rollout_pb2.ReleaseReport(state=rollout_pb2.ReleaseReport.FETCHING, detail="no\nroom", done_bytes=1, total_bytes=4)
    agent = rollout_pb2.RolloutAgent(agent="agents/a", wave=1, report=report, stuck=True)
    assert agent_row(agent)[:4] == ("agents/a", "1", "FETCHING, stuck", "25 % no\nroom")
    progress = rollout_pb2.WaveProgress(agents=3, proven=1, failed=2)
    progress.begin_time.seconds = 60
    rollout = rollout_pb2.Rollout(
        name="rollouts/june", state=rollout_pb2.Rollout.PAUSED, state_reason="\x1b[2Jgone", waves=[rollout_pb2.Wave()], progress=[progress]
    )
    assert summary(rollout) == "rollouts/june PAUSED (\\x1b[2Jgone) wave 0: 1 proven, 2 failed of 3"
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table(rollout))
    assert "\\x1b[2Jgone" in shown.get()
    assert "\x1b[2J" not in shown.get()
