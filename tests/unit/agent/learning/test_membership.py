"""What a device says of its member key."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from agent.identity.files import Identity, IdentityFolder
from agent.learning.membership import Membership
from contract.identity import key_hash
from contract.secagg.possession import is_proven
from contract.tree_heads import public_der
from seawall.hub.v1.agent_pb2 import MemberKey
from tests.fakes.identities import identity


class Scene:
    """A device."""

    def __init__(self, path: Path) -> None:
        self.folder = IdentityFolder(path / "identity")
        self.identity = identity()
        self.folder.write(self.identity)
        self.is_enabled = True
        self.membership = Membership(self.folder, lambda: self.identity, lambda: self.is_enabled)

    def claim(self) -> MemberKey:
        said = self.membership.claim()
        assert said is not None
        return said


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def certificate_key_hash(known: Identity) -> str:
    return key_hash(known.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def test_a_device_shows_its_member_key_in_its_own_name(scene: Scene) -> None:
    said = scene.claim()
    assert said.public_key == public_der(scene.folder.member_key())
    assert is_proven(said.public_key, said.proof, "till-1", certificate_key_hash(scene.identity))


def test_it_says_the_same_until_its_certificate_is_another_one_and_then_the_same_key(scene: Scene) -> None:
    first = scene.claim()
    assert scene.claim() == first
    scene.identity = identity()
    renewed = scene.claim()
    assert renewed.public_key == first.public_key
    assert renewed.proof != first.proof
    assert is_proven(renewed.public_key, renewed.proof, "till-1", certificate_key_hash(scene.identity))


def test_a_device_that_takes_part_in_no_rounds_makes_no_key_and_says_none(scene: Scene) -> None:
    scene.is_enabled = False
    assert scene.membership.claim() is None
    assert not scene.folder.has_member_key
    scene.is_enabled = True
    scene.claim()
    scene.is_enabled = False
    assert scene.membership.claim() is None


def test_a_key_that_cannot_be_used_is_told_once_and_is_said_when_it_can(scene: Scene) -> None:
    file = scene.folder.path / "member-key.pem"
    file.write_text("damaged")
    with capture_logs() as logs:
        assert scene.membership.claim() is None
        assert scene.membership.claim() is None
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning" and "advice" in entry and "mode" not in entry] == [
        "this device cannot say its member key"
    ]
    file.unlink()
    scene.claim()
