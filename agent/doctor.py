"""Looks at everything that the agent needs, and says what to do about what is wrong. Changes nothing."""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.config import AgentSettings
from agent.detection.tagger import Tagger
from agent.embedding.embedder import Embedder
from agent.embedding.opening import open_embedder
from agent.identity.enrollment import split_address
from agent.identity.files import Identity, IdentityFolder
from agent.identity.handshake import TIMEOUT_SECONDS, shake_hands
from agent.inference.loading import load_bundle
from agent.learning.flower_place import HERE
from agent.learning.membership import standing_of
from agent.learning.opening import limits_of
from agent.local_client import LocalClient
from agent.policies.in_force import choose
from agent.policies.kept import KeptPolicy
from agent.update.slot_files import verify_slot
from agent.update.slot_record import SlotState, read_record
from contract.errors import SeawallError, Unavailable

_ENROL = "enrol again with seawall-agent enroll --again TOKEN"
_NO_HUB = "not enrolled; seawall-agent enroll TOKEN makes hard prompts go to a hub"
_TLS_ADVICE = {
    "TLSV1_ALERT_UNKNOWN_CA": f"the hub does not know the CA of this agent's certificate: {_ENROL}",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"this agent's certificate has expired: {_ENROL}",
    "SSLV3_ALERT_BAD_CERTIFICATE": f"the hub refuses this agent's certificate: {_ENROL}",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": f"the hub got no certificate from this agent: {_ENROL}",
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS: check the port",
}


_VERIFY_ADVICE = {  # by OpenSSL's number, x509_vfy.h
    9: "the hub's certificate is not valid yet: check this machine's clock",
    10: "the hub's certificate has expired: tell its operator, or check this machine's clock",
    62: "the hub's certificate is not for this host name: check the address",
    64: "the hub's certificate is not for this IP address: check the address, or use the hub's name",
}
_OTHER_CA = f"the hub's certificate is not of the CA that this agent knows: check the address, or {_ENROL}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look has shown.

    Args:
        name: of what was looked at.
        ok: whether it is as it must be.
        detail: what was seen, and what to do where it is not ok.
    """

    name: str
    ok: bool
    detail: str


def examine(settings: AgentSettings, now: datetime) -> Iterator[Finding]:
    """Yields a finding for each thing that the agent needs, in the order in which it needs them."""
    identity = IdentityFolder(settings.state_folder / "identity")
    health = cache(LocalClient(settings.http, timeout_seconds=TIMEOUT_SECONDS).health)
    looks: list[tuple[str, Callable[[], str]]] = [
        ("state folder", lambda: _state(settings.state_folder)),
        ("store", lambda: _store(settings, health)),
        ("model", lambda: _model(settings.model.bundle)),
        ("model slots", lambda: _slots(settings.state_folder / "models" / "slots")),
        ("policy", lambda: _policy(settings, health)),
        ("detector", _detector),
        ("similar answers", lambda: _similar_answers(settings)),
        ("broker", lambda: _connects(settings.mqtt.host, settings.mqtt.port, "Mosquitto, or set [mqtt] in the configuration")),
        ("certificate", lambda: _certificate(identity.read(), now) if identity.enrolled else "none, not enrolled"),
        ("hub", lambda: _hub(identity.read(), now) if identity.enrolled else _NO_HUB),
        ("session", lambda: _session(health) if identity.enrolled else "none, not enrolled"),
        ("learning", lambda: _learning(settings)),
        ("better answers", lambda: _better_answers(health)),
    ]
    for name, look in looks:
        yield _finding(name, look)


class _Wrong(Exception):
    """A look has shown something that must be mended; the text says how."""


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except _Wrong as wrong:
        return Finding(name, False, str(wrong))
    except SeawallError as error:
        return Finding(name, False, error.message)


def _learning(settings: AgentSettings) -> str:
    if not settings.learning.enabled:
        return "off"
    if not limits_of(settings, choose(settings, KeptPolicy(settings.state_folder / "policies"))).enabled:
        return "off: the signed policy says so, or cannot be had"
    if not HERE.is_there():
        raise _Wrong(f"on, but Flower is not installed: {HERE.how_to_install}")
    standing = standing_of(IdentityFolder(settings.state_folder / "identity"), settings.state_folder / "learning")
    if standing.is_other:
        raise _Wrong(f"on, but of the roster: {standing.says}")
    embedding = open_embedder()
    if embedding.embedder is None:
        raise _Wrong(f"on, but prompts are not sketched: {embedding.problem}")
    return f"on. {standing.says}" if standing.says else "on"


def _state(folder: Path) -> str:
    try:
        if not folder.exists():
            return f"{folder} is made at the first start"
        with TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise _Wrong(f"{folder} cannot be written ({error}): run this as the agent's user, or set state_folder") from error
    return str(folder)


def _store(settings: AgentSettings, ask: Callable[[], dict[str, Any]]) -> str:
    """Asks the running agent, which has opened it."""
    key = settings.data_key_file or settings.state_folder / "data.key"
    try:
        if settings.data_key_file is not None:
            key.stat()
    except OSError as error:
        raise _Wrong(f"the key that data_key_file names is not there ({error}): put it back, or no agent starts") from error
    try:
        trouble = ask().get("store_trouble", "none")
    except Unavailable:
        return f"sealed under {key}; no agent runs here that has opened it"
    if trouble != "none":
        raise _Wrong(str(trouble))
    return f"sealed under {key}"


def _model(folder: Path) -> str:
    bundle = load_bundle(folder)
    return f"{bundle.name} {bundle.version} {bundle.precision}, {bundle.digest()[:19]}…, every file verified"


def _detector() -> str:
    Tagger()
    return "its weights are those of this version"


def _similar_answers(settings: AgentSettings) -> str:
    if not settings.cache.similar:
        return "off"
    digest, calibrations = Embedder().digest, choose(settings, KeptPolicy(settings.state_folder / "policies")).calibrations
    bar = settings.cache.similarity().bar_for(f"sha256:{digest}", calibrations)
    return f"on from a similarity of {bar:.4g}; the embedder's weights are those of this version"


def _slots(folder: Path) -> str:
    """Reads the record and the slot that serves. What is wrong with it is told, and left as it is."""
    try:
        record = read_record(folder)
    except (OSError, ValueError) as error:
        raise _Wrong(
            f"the record in {folder} cannot be used ({error}): no slot is trusted; remove the folder, then update again"
        ) from error
    if not record.current:
        return "none is used, the configuration's bundle serves"
    entry = record.entries[record.current]
    index = verify_slot(folder / record.current, entry.index_sha256)
    probation = ", on probation: seawall-agent update --keep or --back" if entry.state is SlotState.CURRENT else ""
    if record.rollout:
        probation = f", on probation, which {record.rollout} ends by itself"
    return f"{index.model} {index.version} serves from slot {record.current}, every file verified{probation}"


def _policy(settings: AgentSettings, health: Callable[[], dict[str, Any]]) -> str:
    """Reads what is to be in force. Where a signed one is followed, asks the running agent, which alone knows what it has refused."""
    chosen = choose(settings, KeptPolicy(settings.state_folder / "policies"))
    if chosen.trouble:
        raise _Wrong(chosen.trouble)
    if not chosen.name:
        return f"{chosen.origin}, {chosen.policy.digest}"
    try:
        trouble = health().get("policy_trouble", "none")
    except Unavailable:
        trouble = "none"
    if trouble != "none":
        raise _Wrong(f"{chosen.name} is in force, but {trouble}")
    return f"{chosen.name}, {chosen.policy.digest}"


def _connects(host: str, port: int, what: str) -> str:
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_SECONDS):
            return f"{host}:{port} answers"
    except (OSError, ValueError) as error:  # a host name that cannot be one is a ValueError
        raise _Wrong(f"nothing answers at {host}:{port} ({error}): start {what}") from error


def _certificate(identity: Identity, now: datetime) -> str:
    left = identity.expire_time - now
    if left <= timedelta(0):
        raise _Wrong(f"expired on {identity.expire_time:%Y-%m-%d}: a running agent asks the hub for a new one; where that fails, {_ENROL}")
    return f"agents/{identity.agent_id}, good for {left.days} days"


def _hub(identity: Identity, now: datetime) -> str:
    """Reads the hub's verdict on our certificate."""
    host, port = split_address(identity.hub_address)
    _connects(host, port, "the hub (seawall-hub serve), or look at the link")
    try:
        protocol, answer = shake_hands(identity)
    except ssl.SSLCertVerificationError as error:
        advice = _VERIFY_ADVICE.get(error.verify_code, _OTHER_CA)
        raise _Wrong(f"{identity.hub_address}: {advice} ({error.verify_message})") from error
    except ssl.SSLError as error:
        raise _Wrong(
            f"{identity.hub_address}: {_TLS_ADVICE.get(error.reason or '', 'TLS refused the connection')} ({error.reason})"
        ) from error
    except OSError as error:
        raise _Wrong(f"{identity.hub_address} ended the connection ({error}): the hub may be starting, or refuse this agent") from error
    if protocol != "h2":
        raise _Wrong(f"{identity.hub_address} speaks TLS, but is no hub: check the port")
    if not answer:
        raise _Wrong(f"{identity.hub_address} closed the connection without a word: {_likely_refusal(identity, now)}")
    return f"{identity.hub_address} accepts this agent"


def _likely_refusal(identity: Identity, now: datetime) -> str:
    """Guesses: a gRPC server hangs up on a certificate without saying what is wrong with it."""
    if identity.expire_time <= now:
        return "this agent's certificate has expired; a running agent asks for a new one"
    return (
        "most likely the hub does not know the CA of this agent's certificate, for it is another hub, or has replaced its CA: "
        f"a running agent asks to be taken back; where that fails, {_ENROL}"
    )


def _session(ask: Callable[[], dict[str, Any]]) -> str:
    """Asks the running agent, which alone knows."""
    try:
        health = ask()
    except Unavailable:
        return "no agent runs here; it opens one when it does"
    session, refusal, trouble = (
        health.get("session"),
        health.get("configuration_refusal", "none"),
        health.get("configuration_trouble", "none"),
    )
    if session is None:
        raise _Wrong("the running agent was started before it was enrolled: restart it")
    if trouble != "none":
        raise _Wrong(f"{session}: {trouble}")
    if session != "open":
        raise _Wrong(f"{session}: the agent tries for ever; the hub's operator sees why with seawall-hub agents get")
    if refusal != "none":
        raise _Wrong(f"open, but this agent refuses the hub's configuration ({refusal}): tell the hub's operator")
    return f"open, generation {health.get('generation')}"


def _better_answers(ask: Callable[[], dict[str, Any]]) -> str:
    """Asks the running agent. That some wait is no fault of this device."""
    try:
        return str(ask().get("better_answers", "an agent of an earlier version runs here"))
    except Unavailable:
        return "no agent runs here; prompts that wait for one are asked again when it does"


def now_utc() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)
