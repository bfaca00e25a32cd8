"""The ceremony and the publisher with keys on a token, beside keys in files: the commands run in this process, the hub in its own."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from contract.errors import SeawallError
from hub.__main__ import app as hub_app
from models.commands import app
from tests.fakes.hub_process import serving
from tests.fakes.models_command import PASSPHRASE, Arguments, keys, run
from tests.fakes.usb_stick import read_as_agent

if TYPE_CHECKING:
    from tests.fakes.softhsm import SoftHsm, Token  # which imports python-pkcs11: without that, the tests are skipped

CEDAR = "permit(principal, action, resource);"


@pytest.fixture
def token(softhsm: "SoftHsm", monkeypatch: pytest.MonkeyPatch) -> "Token":
    """One whose PIN and library the commands find in their environment."""
    monkeypatch.setenv("SEAWALL_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("SEAWALL_PIN", softhsm.pin)
    monkeypatch.setenv("PYKCS11LIB", softhsm.module)
    return softhsm.plug_in()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "site.cedar").write_text(CEDAR)
    return folder


def done(*arguments: str | Path, typed: str | None = None, of: typer.Typer = app, **variables: str) -> str:
    """What a command says."""
    result = CliRunner(env=variables).invoke(of, [str(argument) for argument in arguments], input=typed, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str | Path) -> str:
    with pytest.raises(SeawallError) as raised:
        done(*arguments)
    return raised.value.message


def notes(folder: Path, role: str) -> list[Path]:
    return sorted((folder / "keys").glob(f"{role}-*.json"))


def test_a_hub_takes_what_a_token_has_signed_from_the_root_to_a_rotated_role(token: "Token", content: Path, tmp_path: Path) -> None:
    data, ceremony, identity = tmp_path / "hub", tmp_path / "ceremony", tmp_path / "publisher"
    root_1, root_2, models_1, models_2 = (token.make(name, bytes([number])) for number, name in enumerate(("r1", "r2", "m1", "m2")))
    on_hub = partial(done, of=hub_app)
    on_hub("init", "--data", data)
    on_hub("trust", "publisher", "build-server", identity, "--data", data)
    (tmp_path / "hub.json").write_text(on_hub("trust", "request", "--data", data))
    used: Arguments = ("--use", f"root={root_1}", "--use", f"models={models_1}")
    done("trust", "init", ceremony, "--online-keys", tmp_path / "hub.json", *used)
    assert [len(found) for found in (keys(ceremony, "root"), notes(ceremony, "root"), keys(ceremony, "models"))] == [2, 1, 0]
    with serving(data) as hub:
        trust = partial(on_hub, "trust", SEAWALL_HUB_LISTENERS__MTLS=hub.mtls)
        handed_over: Arguments = (ceremony / "metadata", "--data", data)
        assert trust("import", *handed_over).splitlines()[0] == "root version 1"
        to: Arguments = ("--hub", hub.mtls, "--identity", identity, "--root", ceremony / "metadata" / "1.root.json", "--name", "site")
        assert "published models/site/versions/1.0.0.json" in done("publish", content, "--version", "1.0.0", *to, "--key", models_1)
        trust("export", *handed_over)
        assert "3.models.json: 1 of 1" in done("trust", "rotate", ceremony, "--role", "models", "--use", models_2)
        made = done("trust", "rotate", ceremony, "--role", "root", "--key", root_1, "--key", keys(ceremony, "root")[0], "--use", root_2)
        assert "2.root.json: 2 of 2" in made
        assert trust("import", *handed_over).splitlines() == ["root version 2", "targets version 2", "models version 3"]
        assert "none of models's" in refused("publish", content, "--version", "1.1.0", *to, "--key", models_1)
        assert "published models/site/versions/1.1.0.json" in done("publish", content, "--version", "1.1.0", *to, "--key", models_2)


def test_a_folder_is_published_to_with_role_and_online_keys_on_a_token(token: "Token", content: Path, tmp_path: Path) -> None:
    ceremony, mirror, path = tmp_path / "ceremony", tmp_path / "mirror", "agent-releases/agent/versions/2.0.0.json"
    online, releases = token.make("online", b"\x01"), token.make("releases", b"\x02", "secp384r1")
    done("trust", "init", ceremony, "--use", f"online={online}", "--use", f"agent-releases={releases}")
    mirror.mkdir()
    (ceremony / "metadata").rename(mirror / "metadata")
    root, staged = mirror / "metadata" / "1.root.json", tmp_path / "staged.json"
    to: Arguments = ("--to", mirror, "--online-key", *notes(ceremony, "online"), "--root", root)
    release: Arguments = ("publish", content, "--version", "2.0.0", *to, "--role", "agent-releases", "--name", "agent")
    done(*release, "--key", *keys(ceremony, "agent-releases"), "--stage", staged)
    assert "has 2 signatures" in done("trust", "sign", staged, "--key", releases)
    done("publish", "--from", staged, *to)
    assert read_as_agent(mirror, root, tmp_path / "agent", path) == {"site.cedar": CEDAR.encode()}


def test_noted_keys_sign_without_being_named(token: "Token", tmp_path: Path) -> None:
    ceremony = tmp_path / "ceremony"
    uris = [token.make(f"root-{number}", bytes([number])) for number in range(2)]
    done("trust", "init", ceremony, "--root-keys", "2", *(part for uri in uris for part in ("--use", f"root={uri}")))
    assert "2.root.json: 2 of 2" in done("trust", "renew", ceremony, "--role", "root")
    token.lose("root-0")
    token.make("root-0", b"\x00")
    assert "another key now" in refused("trust", "renew", ceremony, "--role", "root")
    assert "3.root.json: 1 of 2" in done("trust", "renew", ceremony, "--role", "root", "--key", uris[1])


def test_the_public_half_of_a_token_names_a_mirrors_online_key(token: "Token", tmp_path: Path) -> None:
    uri, ceremony = token.make("online", b"\x01"), tmp_path / "ceremony"
    printed = done("trust", "key", uri)
    (tmp_path / "online.json").write_text(printed)
    done("trust", "init", ceremony, "--online-keys", tmp_path / "online.json")
    assert f"timestamp  {json.loads(printed)['keyid'][:12]}" in done("trust", "show", ceremony)
    assert "uri" not in json.loads(printed)


def test_a_pin_is_asked_for_once_in_a_command(token: "Token", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEAWALL_PIN")
    uris = {role: token.make(role, bytes([number])) for number, role in enumerate(("targets", "models"))}
    used = [part for role, uri in uris.items() for part in ("--use", f"{role}={uri}")]
    said = done("trust", "init", tmp_path / "ceremony", *used, typed=f"{token.pin}\n")
    assert said.count(f"PIN of token {token.label}") == 1
    assert token.pin not in said


def test_a_ceremony_that_a_token_does_not_open_has_not_begun(token: "Token", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, ceremony = token.make("models", b"\x01"), tmp_path / "ceremony"
    assert "ROLE=KEY" in refused("trust", "init", ceremony, "--use", f"nobody={uri}")
    monkeypatch.setenv("SEAWALL_PIN", "999999")
    assert "is wrong; the token counts" in refused("trust", "init", ceremony, "--use", f"models={uri}")
    assert not ceremony.exists()


def test_a_library_that_does_not_start_is_one_line(token: "Token", tmp_path: Path) -> None:
    result = run("trust", "key", token.uri("models"), SOFTHSM2_CONF=str(tmp_path / "nowhere"))
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"error: {token.uri('models')} cannot be used: {token.module} is no PKCS#11 library that works (GeneralError while it started)."
    ]


def test_without_python_pkcs11_it_is_said_what_to_install() -> None:
    lean = "import sys; sys.modules['pkcs11'] = None; from models.__main__ import main; main()"
    command = [sys.executable, "-c", lean, "trust", "key", "pkcs11:object=a?module-path=/a.so"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={"SEAWALL_PIN": "271828"}, timeout=60)
    assert result.returncode == 2
    assert result.stderr.startswith("error: pkcs11 is not installed.")
    assert "seawall[hsm] for keys on a token" in result.stderr
