"""A detector that cannot be loaded restricts every prompt, and says why."""

import shutil
from functools import cache
from pathlib import Path

import pytest

from agent.classify import Classifier
from agent.detection.memory import Memory
from agent.detection.opening import open_detector
from agent.detection.tagger import MODEL, TOKENIZER, WEIGHTS, Tagger
from agent.inference.shipped import DIGESTS
from agent.prompts import Message
from contract.classification import DataClass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the weights."""
    return Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))


def opened(folder: Path) -> Classifier:
    return Classifier(open_detector((), None, lambda: Tagger(folder)), Memory(bytes(32)))


def test_the_shipped_weights_can_be_used(folder: Path) -> None:
    classifier = opened(folder)
    assert classifier.problem == ""
    assert classifier.look_now([Message("user", "Why is the sky blue?")]).classification.data_class is DataClass.PUBLIC


@pytest.mark.parametrize("name", [MODEL, TOKENIZER, DIGESTS])
def test_without_one_of_its_files_every_prompt_is_restricted(folder: Path, name: str) -> None:
    (folder / name).unlink()
    classifier = opened(folder)
    assert "Install seawall-agent anew" in classifier.problem
    looked = classifier.look_now([Message("user", "Why is the sky blue?")])
    assert (looked.classification.data_class, looked.findings) == (DataClass.RESTRICTED, ())


@pytest.mark.parametrize("name", [MODEL, TOKENIZER])
def test_one_changed_byte_is_damage(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert "is damaged" in opened(folder).problem


def test_whatever_breaks_while_it_is_loaded_is_told_by_its_kind_alone() -> None:
    def broken() -> Tagger:
        raise MemoryError("at 0x1234")

    problem = open_detector((), None, broken).problem
    assert "MemoryError" in problem
    assert "0x1234" not in problem


def found(classifier: Classifier) -> tuple[str, ...]:
    return classifier.look_now([Message("user", "Is Wendelstein ready?")]).classification.kinds


def test_what_a_site_asks_for_is_found_from_the_next_prompt_on_and_what_was_found_before_is_not_remembered(folder: Path) -> None:
    classifier, load = opened(folder), cache(lambda: Tagger(folder))
    assert "SITE_NAME" not in found(classifier)
    classifier.use(open_detector((), b'{"names": ["Wendelstein"]}', load))
    assert "SITE_NAME" in found(classifier)
    classifier.use(open_detector((), None, load))
    assert "SITE_NAME" not in found(classifier)


def test_recognizers_that_cannot_be_read_restrict_every_prompt(folder: Path) -> None:
    classifier = opened(folder)
    classifier.use(open_detector((), b"nonsense", lambda: Tagger(folder)))
    assert "recognizers are refused" in classifier.problem
    assert classifier.look_now([Message("user", "hello")]).classification.data_class is DataClass.RESTRICTED
