"""Keys on a token of SoftHSM: they sign as a file's would, and whatever is in the way is told apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import HSMSigner, SSlibKey

from contract.errors import InvalidRequest, SeawallError, Unavailable
from models.access import Access
from models.keys import create_key
from models.signers import Given, find, note, open_given, open_signer, open_signers

if TYPE_CHECKING:
    from tests.fakes.softhsm import SoftHsm, Token  # which imports python-pkcs11: without that, the tests are skipped

PAYLOAD = b"what is signed"
PASSPHRASE = "correct horse"


@pytest.fixture
def token(softhsm: "SoftHsm") -> "Token":
    return softhsm.plug_in()


@pytest.fixture
def access(softhsm: "SoftHsm") -> Access:
    return access_with(softhsm, softhsm.pin)


def access_with(softhsm: "SoftHsm", pin: str) -> Access:
    return Access(lambda _: PASSPHRASE, lambda _: pin, softhsm.module)


def refusal(act: Callable[[], object], kind: type[SeawallError] = InvalidRequest) -> str:
    with pytest.raises(kind) as raised:
        act()
    return raised.value.message


@pytest.mark.parametrize(("curve", "scheme"), [("secp256r1", "ecdsa-sha2-nistp256"), ("secp384r1", "ecdsa-sha2-nistp384")])
def test_a_key_on_a_token_signs(token: "Token", access: Access, curve: str, scheme: str) -> None:
    signer = open_signer(token.make("models", b"\x00\x01", curve), access)
    assert isinstance(signer.public_key, SSlibKey)
    assert signer.public_key.scheme == scheme
    signer.public_key.verify_signature(signer.sign(PAYLOAD), PAYLOAD)


def test_securesystemslibs_own_signer_means_the_same_key(token: "Token", access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = open_signer(token.make("models", b"\x07"), access)
    monkeypatch.setenv("PYKCS11LIB", token.module)
    uri, public = HSMSigner.import_(7, token.label)
    assert public == ours.public_key
    theirs = HSMSigner.from_priv_key_uri(uri, public, lambda _: token.pin)
    ours.public_key.verify_signature(theirs.sign(PAYLOAD), PAYLOAD)
    public.verify_signature(ours.sign(PAYLOAD), PAYLOAD)


def test_a_signer_is_made_from_a_uri_as_securesystemslib_makes_them(token: "Token", access: Access) -> None:
    from models.token_keys import TokenSigner

    public = open_signer(token.make("models", b"\x01"), access).public_key
    uri = token.uri("models", f"?module-path={token.module}")
    public.verify_signature(TokenSigner.from_priv_key_uri(uri, public, lambda _: token.pin).sign(PAYLOAD), PAYLOAD)
    assert "needs a public key" in refusal(lambda: TokenSigner.from_priv_key_uri(uri, public))


def test_a_key_that_wants_the_pin_each_time_gets_it(token: "Token", access: Access) -> None:
    signer = open_signer(token.make("models", b"\x01", ALWAYS_AUTHENTICATE=True), access)
    signer.public_key.verify_signature(signer.sign(PAYLOAD), PAYLOAD)


def test_keys_are_told_apart_by_label_and_by_id(token: "Token", access: Access) -> None:
    token.make("models", b"\x01")
    token.make("models", b"\x02")
    assert "2 private keys" in refusal(lambda: open_signer(token.uri("models"), access))
    ids = [open_signer(f"pkcs11:token={token.label};id={name}", access).public_key.keyid for name in ("%01", "%02", "%02")]
    assert ids[0] != ids[1] == ids[2]
    assert "no such private key" in refusal(lambda: open_signer(f"{token.uri('targets')};id=%01", access))


def test_tokens_of_one_label_are_told_apart_by_their_serial_numbers(softhsm: "SoftHsm", token: "Token", access: Access) -> None:
    token.make("models", b"\x01")
    twin = softhsm.plug_in(token.label)
    message = refusal(lambda: open_signer(token.uri("models"), access))
    assert "2 tokens are meant" in message
    assert f"serial={twin.serial.decode()}" in message
    assert open_signer(f"pkcs11:serial={token.serial.decode()};object=models", access).sign(PAYLOAD)
    assert "no such private key" in refusal(lambda: open_signer(f"pkcs11:serial={twin.serial.decode()};object=models", access))


def test_without_a_module_that_works_it_is_said_which_is_missing(token: "Token", tmp_path: Path) -> None:
    nobody = Access(lambda _: "", lambda _: token.pin)
    assert "PYKCS11LIB" in refusal(lambda: open_signer(token.uri("models"), nobody))
    away = token.uri("models", f"?module-path={tmp_path}/away.so")
    assert "away.so is no PKCS#11 library that works" in refusal(lambda: open_signer(away, nobody))


def test_a_token_that_is_not_there_is_named_beside_those_that_are(token: "Token", access: Access) -> None:
    message = refusal(lambda: open_signer("pkcs11:token=elsewhere;object=models", access), Unavailable)
    assert "no token elsewhere" in message
    assert token.label in message


def test_a_wrong_pin_is_told_with_what_the_token_says_of_the_tries(softhsm: "SoftHsm", token: "Token") -> None:
    uri = token.make("models", b"\x01")
    message = refusal(lambda: open_signer(uri, access_with(softhsm, "999999")))
    assert f"the PIN of token {token.label} is wrong; the token counts" in message
    assert "999999" not in message
    assert "PIN" in refusal(lambda: open_signer(uri, access_with(softhsm, "1")))
    assert open_signer(uri, access_with(softhsm, token.pin)).sign(PAYLOAD)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "is wrong"),
        (["USER_PIN_COUNT_LOW"], "counts the wrong ones"),
        (["USER_PIN_COUNT_LOW", "USER_PIN_FINAL_TRY"], "one try is left"),
        (["USER_PIN_COUNT_LOW", "USER_PIN_FINAL_TRY", "USER_PIN_LOCKED"], "is locked"),
    ],
)
def test_the_worst_that_a_token_says_of_its_pin_is_told(flags: list[str], said: str) -> None:
    """SoftHSM never locks a PIN; other tokens set these flags."""
    constants = pytest.importorskip("pkcs11.constants", reason="python-pkcs11 is not installed: pip install seawall[hsm]")
    from models.token_keys import refused_pin

    of_token = constants.TokenFlag.LOGIN_REQUIRED
    for flag in flags:
        of_token |= constants.TokenFlag[flag]
    assert said in refused_pin(of_token)


def test_an_empty_pin_costs_no_try(softhsm: "SoftHsm", token: "Token") -> None:
    assert "is empty" in refusal(lambda: open_signer(token.make("models", b"\x01"), access_with(softhsm, "")))


def test_the_pin_comes_from_the_file_that_the_uri_names(softhsm: "SoftHsm", token: "Token", tmp_path: Path) -> None:
    token.make("models", b"\x01")
    uri = token.uri("models", f"?pin-source=file:{tmp_path}/pin")
    nobody = access_with(softhsm, "999999")
    assert "cannot be read" in refusal(lambda: open_signer(uri, nobody))
    (tmp_path / "pin").write_text(f"{token.pin}\n")
    assert open_signer(uri, nobody).sign(PAYLOAD)


def test_keys_of_a_wrong_kind_are_refused(token: "Token", access: Access) -> None:
    token.make_rsa("rsa", b"\x01")
    token.make("p521", b"\x02", "secp521r1")
    token.make("mute", b"\x03", SIGN=False)
    assert "of kind RSA" in refusal(lambda: open_signer(token.uri("rsa"), access))
    assert "P-256 or P-384" in refusal(lambda: open_signer(token.uri("p521"), access))
    assert "CKA_SIGN" in refusal(lambda: open_signer(token.uri("mute"), access))


def test_a_key_without_its_public_half_is_refused(token: "Token", access: Access) -> None:
    uri = token.make("models", b"\x01")
    token.lose("models", public_half_alone=True)
    assert "no such public key" in refusal(lambda: open_signer(uri, access))


def test_halves_that_do_not_belong_together_sign_nothing(token: "Token", access: Access) -> None:
    token.make("models", b"\x01")
    token.make("other", b"\x02")
    signer = open_signer(token.mix("models", "other", "mixed"), access)
    assert "does not belong to its public key" in refusal(lambda: signer.sign(PAYLOAD))


def test_a_token_that_is_pulled_signs_no_more(softhsm: "SoftHsm", token: "Token", access: Access) -> None:
    signer = open_signer(token.make("models", b"\x01"), access)
    assert signer.sign(PAYLOAD)
    token.pull()
    assert "does not answer" in refusal(lambda: signer.sign(PAYLOAD), Unavailable)
    softhsm.look_again()
    assert f"no token {token.label}" in refusal(lambda: signer.sign(PAYLOAD), Unavailable)


def test_files_and_tokens_are_opened_by_one_name(token: "Token", access: Access, tmp_path: Path) -> None:
    file = create_key(tmp_path, "root", PASSPHRASE)
    uri = token.make("root-2", b"\x01")
    [path] = find(tmp_path, [file.public_key.keyid])
    signers = open_signers([path, uri, uri], access)
    assert list(signers) == [file.public_key.keyid, open_signer(uri, access).public_key.keyid]


def test_a_noted_key_is_opened_by_its_note_while_it_is_the_same(token: "Token", access: Access, tmp_path: Path) -> None:
    uri = token.make("models", b"\x01")
    signer = open_signer(uri, access)
    note(tmp_path, "models", Given(f"{uri}?module-path={token.module}", signer))
    [name] = find(tmp_path, [signer.public_key.keyid])
    assert json.loads(Path(name).read_text())["uri"] == uri
    assert open_signer(name, access).public_key == signer.public_key
    token.lose("models")
    token.make("models", b"\x01")
    assert "another key now" in refusal(lambda: open_signer(name, access))


@pytest.mark.parametrize("query", ["?module-path={module}", "?pin-source=file:/run/pin"])
def test_a_note_says_neither_what_is_loaded_nor_what_is_read(token: "Token", access: Access, tmp_path: Path, query: str) -> None:
    uri = token.make("models", b"\x01")
    note(tmp_path, "models", Given(uri, open_signer(uri, access)))
    [path] = tmp_path.iterdir()
    path.write_text(path.read_text().replace(uri, uri + query.format(module=token.module)))
    assert "no note of a token's key" in refusal(lambda: open_signer(str(path), access))


@pytest.mark.parametrize("content", ["[]", "{}", "no JSON", '{"uri": "pkcs11:object=a"}', '{"uri": 1}'])
def test_what_is_no_note_is_refused(access: Access, tmp_path: Path, content: str) -> None:
    path = tmp_path / "models-0.json"
    path.write_text(content)
    assert "no note of a token's key" in refusal(lambda: open_signer(str(path), access))


def test_no_more_keys_are_given_to_a_role_than_it_has_and_none_twice(token: "Token", access: Access) -> None:
    first, second, third = (token.make(f"root-{number}", bytes([number])) for number in (1, 2, 3))
    most = {"root": 2}
    found = open_given([f"root={first}", f"root={second}"], most, access)
    assert [given.name for given in found["root"]] == [first, second]
    assert "twice" in refusal(lambda: open_given([f"root={first}", f"root={first};id=%01"], most, access))
    assert "root has 2 keys" in refusal(lambda: open_given([f"root={uri}" for uri in (first, second, third)], most, access))
    assert "ROLE=KEY" in refusal(lambda: open_given([first], most, access))
