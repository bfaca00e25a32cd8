"""The ceremony and the publisher as people run them: keys in encrypted files, a folder that agents read, a hub that verifies."""

from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from contract.secagg.roster import Roster
from tests.fakes.hub_process import run_hub, serving
from tests.fakes.models_command import Arguments, done, keys, refused
from tests.fakes.usb_stick import read_as_agent

PATH = "policies/site/versions/1.0.0.json"
POLICY = '@id("all") permit (principal, action, resource);'


@pytest.fixture
def ceremony(tmp_path: Path) -> Path:
    done("trust", "init", tmp_path / "ceremony")
    return tmp_path / "ceremony"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "policy.cedar").write_text(POLICY)
    return folder


def test_keys_are_encrypted_and_their_owners_alone(ceremony: Path) -> None:
    found = sorted((ceremony / "keys").iterdir())
    assert [path.name.rpartition("-")[0] for path in found] == [
        *["agent-releases"] * 2,
        "models",
        "online",
        "policies",
        *["root"] * 3,
        "rosters",
        "targets",
    ]
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    assert all(b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes() for path in found)
    assert "not empty" in refused("trust", "init", ceremony)


def test_what_makes_no_ceremony_is_refused(tmp_path: Path) -> None:
    assert "passphrase is too short" in refused("trust", "init", tmp_path / "a", SEAWALL_PASSPHRASE="short")
    assert "--threshold" in refused("trust", "init", tmp_path / "b", "--root-keys", "1", "--threshold", "2")
    (tmp_path / "hub.json").write_text('{"keyid": "0"}')
    assert "seawall-hub trust request" in refused("trust", "init", tmp_path / "c", "--online-keys", tmp_path / "hub.json")


def test_a_folder_is_published_to_and_read_from(ceremony: Path, content: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (ceremony / "metadata").rename(mirror / "metadata")
    root = mirror / "metadata" / "1.root.json"
    to: Arguments = ("--to", mirror, "--online-key", *keys(ceremony, "online"), "--root", root, "--role", "policies", "--name", "site")
    publish: Arguments = ("publish", content, "--version", "1.0.0", *to, "--key", *keys(ceremony, "policies"))
    assert f"published {PATH}: 1 chunks" in done(*publish)
    assert read_as_agent(mirror, root, tmp_path / "agent", PATH) == {"policy.cedar": POLICY.encode()}
    assert "nothing was changed" in done(*publish)
    (content / "policy.cedar").write_text(POLICY.replace("permit", "forbid"))
    assert "another --version" in refused(*publish)
    wrong: Arguments = ("publish", content, "--version", "1.1.0", *to, "--key", *keys(ceremony, "models"))
    assert "none of policies's" in refused(*wrong)
    assert "passphrase is wrong" in refused(*publish[:3], "1.1.0", *publish[4:], SEAWALL_PASSPHRASE="another one")
    assert "0 of 1 signatures" in refused("publish", content, "--version", "1.1.0", *to)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"policy.cedar": "permit"}, "unexpected end"),
        ({"policy.cedar": '@id("t") permit (principal, action, resource) when { context.clas == "public" };'}, "clas"),
        ({"policy.cedar": POLICY, "notes.txt": ""}, "its files must be"),
        ({"policy.cedar": POLICY, "calibration.json": '{"format_version": 2, "maps": []}'}, "The calibration cannot be used"),
    ],
)
def test_a_policy_that_no_agent_would_take_is_not_signed(ceremony: Path, tmp_path: Path, files: dict[str, str], why: str) -> None:
    folder, metadata = tmp_path / "bad", ceremony / "metadata"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    to: Arguments = ("--to", ceremony, "--online-key", *keys(ceremony, "online"), "--root", metadata / "1.root.json")
    signing: Arguments = ("--role", "policies", "--name", "site", "--key", *keys(ceremony, "policies"))
    assert why in refused("publish", folder, "--version", "1.0.0", *to, *signing)
    assert not (metadata / "2.policies.json").exists()


def test_two_must_sign_an_agents_release(ceremony: Path, content: Path, tmp_path: Path) -> None:
    mirror, staged, path = tmp_path / "mirror", tmp_path / "staged.json", "agent-releases/agent/versions/2.0.0.json"
    mirror.mkdir()
    (ceremony / "metadata").rename(mirror / "metadata")
    root, (first, second) = mirror / "metadata" / "1.root.json", keys(ceremony, "agent-releases")
    to: Arguments = ("--to", mirror, "--online-key", *keys(ceremony, "online"), "--root", root)
    release: Arguments = ("publish", content, "--version", "2.0.0", *to, "--role", "agent-releases", "--name", "agent", "--key", first)
    assert "1 of 2 signatures" in refused(*release)
    done(*release, "--stage", staged)
    assert "1 of 2 signatures" in refused("publish", "--from", staged, *to)
    assert f"new: {path}: 1 files" in done("trust", "inspect", staged)
    done("trust", "sign", staged, "--key", second)
    done("publish", "--from", staged, *to)
    assert read_as_agent(mirror, root, tmp_path / "agent", path) is not None
    assert "not the next" in refused("publish", "--from", staged, *to)


def test_keys_are_rotated_and_roles_renewed(ceremony: Path) -> None:
    before = keys(ceremony, "models")
    assert "2.targets.json: 1 of 1" in done("trust", "rotate", ceremony, "--role", "models")
    fresh = [path for path in keys(ceremony, "models") if path not in before]
    assert len(fresh) == 1
    assert "3.models.json: 1 of 1" in done("trust", "renew", ceremony, "--role", "models")
    assert "Keys of models must sign" in refused("trust", "renew", ceremony, "--role", "models", "--key", *before)
    assert "models  version 3  until" in done("trust", "show", ceremony)
    assert fresh[0].stem.rpartition("-")[2] in done("trust", "show", ceremony)
    assert "is no role" in refused("trust", "renew", ceremony, "--role", "nobody")


def test_a_root_needs_two_of_the_old_and_two_of_the_new(ceremony: Path) -> None:
    old = keys(ceremony, "root")
    made = done("trust", "rotate", ceremony, "--role", "root", "--key", old[0])
    root = ceremony / "metadata" / "2.root.json"
    assert f"{root}: 1 of 2 signatures; 1 more" in made
    assert "does not hold together" in refused("trust", "show", ceremony)
    done("trust", "sign", root, "--key", old[1])
    assert "root  version 2" in done("trust", "show", ceremony)
    signed: Metadata[Any] = Metadata.from_bytes(root.read_bytes())
    assert not {path.stem.rpartition("-")[2] for path in old} & {key_id[:12] for key_id in signed.signed.roles["root"].keyids}


def test_metadata_that_were_tampered_with_are_not_signed_on(ceremony: Path) -> None:
    path = ceremony / "metadata" / "1.models.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    assert "does not hold together" in refused("trust", "renew", ceremony, "--role", "models")


def test_a_hub_takes_the_trust_and_what_is_published(content: Path, tmp_path: Path) -> None:
    data, ceremony, identity = tmp_path / "hub", tmp_path / "ceremony", tmp_path / "publisher"
    assert run_hub("init", "--data", str(data)).returncode == 0
    (tmp_path / "hub.json").write_text(run_hub("trust", "request", "--data", str(data)).stdout)
    done("trust", "init", ceremony, "--online-keys", tmp_path / "hub.json")
    assert not keys(ceremony, "online")
    with serving(data) as hub:
        assert "No trust was imported yet" in hub.operate("trust", "show").stderr
        imported = hub.operate("trust", "import", str(ceremony / "metadata"))
        assert imported.stdout.splitlines()[:2] == ["root version 1", "targets version 1"]
        assert not imported.stderr
        assert not hub.operate("trust", "import", str(ceremony / "metadata")).stdout
        assert "named in it" in hub.operate("trust", "show").stdout
        assert run_hub("trust", "publisher", "build-server", str(identity), "--data", str(data)).returncode == 0
        to: Arguments = ("--hub", hub.mtls, "--identity", identity, "--root", ceremony / "metadata" / "1.root.json")
        publish: Arguments = ("publish", content, "--version", "1.0.0", *to, "--role", "policies", "--name", "site")
        assert "0 of 1 signatures" in refused(*publish)
        assert "published" in done(*publish, "--key", *keys(ceremony, "policies"))
        assert PATH in hub.operate("releases", "list").stdout
        assert "policy.cedar" in hub.operate("releases", "show", PATH).stdout
        assert "releases list" in hub.operate("releases", "show", "nothing").stderr
        assert hub.operate("trust", "export", str(tmp_path / "exported" / "metadata")).returncode == 0
        assert "policies  version 2" in done("trust", "show", tmp_path / "exported")
        done("trust", "rotate", ceremony, "--role", "models")
        assert hub.operate("trust", "import", str(ceremony / "metadata")).stdout.splitlines() == ["targets version 2", "models version 2"]
    assert "No hub answers" in refused(*publish)


def test_a_roster_is_published_from_its_file_under_its_own_version(ceremony: Path, tmp_path: Path) -> None:
    mirror, roster = tmp_path / "mirror", tmp_path / "anything.json"
    mirror.mkdir()
    (ceremony / "metadata").rename(mirror / "metadata")
    root, content = mirror / "metadata" / "1.root.json", Roster(1, {"plant-7": "a" * 64}).to_json()
    roster.write_bytes(content)
    to: Arguments = ("--to", mirror, "--online-key", *keys(ceremony, "online"), "--root", root, "--role", "rosters", "--name", "fleet")
    publish: Arguments = ("publish", roster, *to, "--key", *keys(ceremony, "rosters"))
    assert "published rosters/fleet/versions/1.json: 1 chunks" in done(*publish)
    assert read_as_agent(mirror, root, tmp_path / "agent", "rosters/fleet/versions/1.json") == {"roster.json": content}
    assert "its version is 1" in refused(*publish, "--version", "8")
    for far in (103, 2**63 - 1):
        roster.write_bytes(Roster(far, {"plant-7": "a" * 64}).to_json())
        assert f"version is {far}, and the next one is 2" in refused(*publish)
    roster.write_bytes(Roster(2, {"plant-7": "b" * 64}).to_json())
    assert "published rosters/fleet/versions/2.json" in done(*publish)
    roster.write_text("{}")
    assert "roster cannot be used" in refused(*publish)
