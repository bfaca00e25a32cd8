"""By which limits and which policy this device takes part."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.config import AgentSettings, LearningSettings
from agent.learning.opening import confidence_of, limits_of, may_learn, similarity_of
from agent.policies.in_force import Chosen, PolicyInForce, choose
from agent.policies.kept import KeptPolicy
from contract.calibration.maps import CONFIDENCE, SAME, SIMILARITY, Calibrations, Fitted, Map
from contract.errors import InvalidRequest
from contract.learning_limits import LearningLimits
from contract.policy import Policy
from contract.receipts import Departure, Receipt
from contract.subjects import EMBEDDER, Confidence, Similarity
from contract.surroundings import Surroundings
from tests.fakes.answerer import receipt
from tests.fakes.tuf_repository import version_of

POLICY = b'@id("all") permit (principal, action, resource);'
PUBLIC_ONLY = '@id("public") permit (principal, action == Action::"learn", resource) when { context.class == "public" };'
SIGNED = LearningLimits(True, smallest_cohort=16, exact_cohort=0, epsilon=2.0, delta=1e-6)
OWN = LearningSettings(enabled=True, smallest_cohort=10, exact_cohort=20, epsilon=5.0)


def test_a_signed_policy_makes_the_devices_own_limits_stricter(tmp_path: Path) -> None:
    settings = AgentSettings(learning=OWN, privacy={"signed_policy": "fleet"}, state_folder=tmp_path)  # type: ignore[arg-type]
    kept = KeptPolicy(tmp_path)
    assert limits_of(AgentSettings(learning=OWN), choose(AgentSettings(learning=OWN), kept)) == OWN.limits()
    assert not limits_of(settings, choose(settings, kept)).enabled, "nobody knows what a policy says that is not here"
    files = {"policy.cedar": POLICY, "learning.json": SIGNED.to_json()}
    index, _ = version_of({name: [content] for name, content in files.items()}, "1.0.0", "fleet")
    kept.keep(index, files)
    assert limits_of(settings, choose(settings, kept)) == LearningLimits(True, 16, 0, 2.0, 1e-6)
    for file in tmp_path.iterdir():
        file.write_bytes(b"damaged")
    assert not limits_of(settings, choose(settings, KeptPolicy(tmp_path))).enabled


def test_neither_of_the_two_can_turn_on_what_the_other_has_off() -> None:
    chosen = Chosen(Policy(""), "", "signed", learning=SIGNED)
    assert not limits_of(AgentSettings(), chosen).enabled
    off = replace(chosen, learning=replace(SIGNED, enabled=False))
    assert not limits_of(AgentSettings(learning=OWN), off).enabled


def test_confidence_is_reported_by_the_map_of_the_signed_policy_for_this_model_and_no_other() -> None:
    fitted = Fitted(CONFIDENCE, "sha256:a", Map(2.0, 0.5), 300)
    chosen = Chosen(Policy(""), "", "signed", calibrations=Calibrations((fitted,)))
    assert confidence_of("sha256:a", chosen) == Confidence("sha256:a", fitted.map)
    assert confidence_of("sha256:b", chosen) == Confidence("sha256:b", SAME)


def test_similarity_is_reported_by_the_signed_map_for_the_embedder_of_this_version_and_no_other() -> None:
    for name, in_force in ((EMBEDDER, Map(2.0, 0.5)), ("sha256:a", SAME)):
        fitted = Fitted(SIMILARITY, name, Map(2.0, 0.5), 300), Fitted(CONFIDENCE, EMBEDDER, Map(3.0, 0.5), 300)
        chosen = Chosen(Policy(""), "", "signed", calibrations=Calibrations(fitted))
        assert similarity_of(chosen) == Similarity(EMBEDDER, in_force)


@pytest.mark.parametrize(("data_class", "counts"), [("public", True), ("internal", False), ("unheard of", False)])
def test_the_policy_in_force_now_is_asked_of_each_answer(data_class: str, counts: bool) -> None:
    policy = PolicyInForce(lambda: Chosen(Policy(PUBLIC_ONLY), PUBLIC_ONLY, "a file"))
    link: Any = SimpleNamespace(identity=SimpleNamespace(agent_id="plant-7"))
    assert may_learn(policy, link, Surroundings)({"data_class": data_class, "data_kinds": []}) == counts


@pytest.mark.parametrize("values", [{"smallest_cohort": 3}, {"exact_cohort": 5}, {"epsilon": -1.0}, {"roster": "Fleet!"}])
def test_limits_that_protect_nobody_are_refused_in_the_configuration(values: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InvalidRequest)):
        LearningSettings(enabled=True, **values)


def test_a_receipt_is_read_as_it_was_written_and_an_older_or_newer_one_too() -> None:
    written = replace(receipt("p"), departure=Departure(1, 2, "cloud", "public", "eu", 3), input_tokens=4)
    assert Receipt.from_dict(written.to_dict() | {"client": "c", "format_version": 2, "of a later version": 1}) == written
    older = {name: value for name, value in receipt("p").to_dict().items() if name not in ("input_tokens", "output_tokens", "intake")}
    assert Receipt.from_dict(older) == replace(receipt("p"), input_tokens=0, output_tokens=0, intake="")
