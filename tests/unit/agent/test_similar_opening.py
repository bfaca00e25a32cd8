"""The embedder is loaded only where a site wants questions compared, and one that cannot be is told and stops nothing."""

from pathlib import Path

import structlog

from agent.assembly import build_embedder
from agent.config import AgentSettings, CacheSettings
from agent.embedding.embedder import Embedder


def settings(similar: bool) -> AgentSettings:
    return AgentSettings(cache=CacheSettings(similar=similar))


def nothing_there() -> Embedder:
    return Embedder(Path("/nowhere"))


def test_where_nobody_wants_it_nothing_is_loaded() -> None:
    opened = build_embedder(settings(similar=False), nothing_there)
    assert (opened.embedder, opened.problem) == (None, "")


def test_where_it_is_wanted_and_its_weights_are_away_the_log_and_the_agent_say_so() -> None:
    with structlog.testing.capture_logs() as logs:
        opened = build_embedder(settings(similar=True), nothing_there)
    assert opened.embedder is None
    assert "Install seawall-agent anew" in opened.problem
    assert [entry["event"] for entry in logs] == ["questions are not compared"]


def test_where_it_is_wanted_it_is_loaded() -> None:
    assert build_embedder(settings(similar=True)).embedder is not None
