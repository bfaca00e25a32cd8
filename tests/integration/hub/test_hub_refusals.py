"""Who is not let in, and what they are told: the agent's own code against a real hub."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.config import AgentSettings
from agent.doctor import examine
from agent.hub_channel import open_channel
from agent.identity.enrollment import enroll
from agent.identity.files import Identity, IdentityFolder
from agent.identity.renewal import recover, renew
from agent.intake.settings import MqttSettings
from contract.errors import Reason, SeawallError
from hub.clock import utc_now
from hub.config import Limits
from hub.folder import DataFolder, create
from seawall.hub.v1 import agent_pb2
from tests.fakes.hub import Identity as Pair
from tests.fakes.hub import RunningHub, key_pem, running_hub
from tests.fakes.hub_operator import Operator
from tests.fakes.tls import free_port

PLANT = "agents/plant-7"
OURS, OTHERS = "spiffe://seawall.test", "spiffe://other.test"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    """One that takes nobody back whose certificate has expired."""
    async with running_hub(tmp_path / "hub", limits=Limits(stop_seconds=0, recovery_days=0)) as running:
        yield running


def identity(hub: RunningHub, pair: Pair) -> Identity:
    """An agent that trusts the hub, whether or not the hub trusts it."""
    return Identity("plant-7", "seawall.test", hub.mtls_target, pair.key, pair.certificate, hub.ca_certificate, hub.enrollment_target)


async def suspended(hub: RunningHub) -> Identity:
    pair = await hub.enroll("plant-7")
    async with hub.channel(hub.operator) as channel:
        await Operator(channel).agents.SuspendAgent(agent_pb2.SuspendAgentRequest(name=PLANT))
    return identity(hub, pair)


async def retired(hub: RunningHub) -> Identity:
    pair = await hub.enroll("plant-7")
    async with hub.channel(hub.operator) as channel:
        await Operator(channel).agents.RetireAgent(agent_pb2.RetireAgentRequest(name=PLANT))
    return identity(hub, pair)


async def expired(hub: RunningHub) -> Identity:
    return identity(hub, hub.issue("agent", "plant-7", life=timedelta(seconds=-1)))


async def of_a_foreign_ca(hub: RunningHub) -> Identity:
    other = DataFolder(hub.folder.path.with_name("other"))
    create(other, hub.settings.trust_domain, [], utc_now)
    return identity(hub, RunningHub(hub.hub, other, hub.settings).issue("agent", "plant-7"))


async def with_a_name_that_was_given_to_another(hub: RunningHub) -> Identity:
    await hub.enroll("plant-7")
    return identity(hub, hub.issue("agent", "plant-7"))


def named(*uris: str) -> Callable[[RunningHub], Awaitable[Identity]]:
    """An agent whose certificate the hub's own CA has issued, for these URIs."""

    async def made(hub: RunningHub) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        certificate = hub.authority._issue_leaf(
            key.public_key(), "x", names or [x509.DNSName("plant-7")], ExtendedKeyUsageOID.CLIENT_AUTH, timedelta(hours=1)
        )
        return identity(hub, Pair(key_pem(key), certificate.public_bytes(Encoding.PEM)))

    return made


REFUSED = {
    # who: (the agent, the reason over mTLS, the words that say it, the reason when it would recover)
    "suspended": (suspended, Reason.AGENT_SUSPENDED, "has suspended this agent", Reason.AGENT_SUSPENDED),
    "retired": (retired, Reason.AGENT_RETIRED, "has retired this agent", Reason.AGENT_RETIRED),
    "expired": (expired, Reason.HUB_UNAVAILABLE, "this agent's certificate has expired", Reason.RECOVERY_TOO_LATE),
    "foreign CA": (of_a_foreign_ca, Reason.HUB_UNAVAILABLE, "does not know the CA of this agent's certificate", Reason.RECOVERY_REFUSED),
    "another's name": (with_a_name_that_was_given_to_another, Reason.AGENT_NOT_FOUND, "enrolled no more", Reason.RECOVERY_REFUSED),
    "never enrolled": (named(f"{OURS}/agents/stranger"), Reason.AGENT_NOT_FOUND, "enrolled no more", Reason.RECOVERY_REFUSED),
    "another trust domain": (
        named(f"{OTHERS}/agents/plant-7"),
        Reason.CERTIFICATE_INVALID,
        "is of another trust domain",
        Reason.RECOVERY_REFUSED,
    ),
    "two SPIFFE ids": (
        named(f"{OURS}/agents/plant-7", f"{OURS}/operators/admin"),
        Reason.CERTIFICATE_INVALID,
        "one SPIFFE id as its only URI name",
        Reason.RECOVERY_REFUSED,
    ),
    "no SPIFFE id": (named(), Reason.CERTIFICATE_INVALID, "one SPIFFE id as its only URI name", Reason.RECOVERY_REFUSED),
    "no such role": (named(f"{OURS}/emperors/plant-7"), Reason.CERTIFICATE_INVALID, "no role that is known", Reason.RECOVERY_REFUSED),
    "an operator's": (named(f"{OURS}/operators/admin"), Reason.ROLE_NOT_ALLOWED, "role operator may not call", Reason.RECOVERY_REFUSED),
}


async def words_of(refusal: SeawallError, agent: Identity, folder: Path) -> str:
    """What the agent's side says. Where TLS hung up without a word, that is what the doctor finds when it looks, as the refusal advises."""
    if refusal.reason is not Reason.HUB_UNAVAILABLE:
        return refusal.message
    assert "seawall-agent doctor" in refusal.message
    IdentityFolder(folder / "identity").write(agent)
    settings = AgentSettings(state_folder=folder, mqtt=MqttSettings(port=free_port()))
    found = await asyncio.to_thread(lambda: {one.name: one for one in examine(settings, datetime.now(UTC))})
    assert not found["hub"].ok
    return found["hub"].detail


@pytest.mark.parametrize("who", REFUSED)
async def test_an_agent_that_is_not_let_in_is_told_why(hub: RunningHub, tmp_path: Path, who: str) -> None:
    make, reason, words, recovery_reason = REFUSED[who]
    agent, key = await make(hub), ec.generate_private_key(ec.SECP256R1())
    async with open_channel(agent) as channel:
        with pytest.raises(SeawallError) as over_mtls:
            await renew(agent, key, channel)
    assert over_mtls.value.reason is reason
    assert words in await words_of(over_mtls.value, agent, tmp_path / "state")
    with pytest.raises(SeawallError) as recovering:
        await recover(agent, key)
    assert recovering.value.reason is recovery_reason


async def test_a_join_token_that_was_used_is_refused_whoever_has_it(hub: RunningHub) -> None:
    token = str(await hub.join_token())
    await asyncio.to_thread(enroll, token, hub.enrollment_target, hub.mtls_target, "plant-7")
    for agent_id in ("plant-7", "plant-8", ""):
        with pytest.raises(SeawallError) as refused:
            await asyncio.to_thread(enroll, token, hub.enrollment_target, hub.mtls_target, agent_id)
        assert refused.value.reason is Reason.JOIN_TOKEN_USED


async def test_an_agent_that_is_none_of_these_gets_its_certificate(hub: RunningHub) -> None:
    agent = identity(hub, await hub.enroll("plant-7"))
    async with open_channel(agent) as channel:
        renewed = await renew(agent, ec.generate_private_key(ec.SECP256R1()), channel)
    assert renewed.certificate != agent.certificate


def test_each_kind_has_a_reason_of_its_own() -> None:
    """What TLS refuses without a reason has one when it would recover."""
    told = {
        who: reason if reason is not Reason.HUB_UNAVAILABLE else recovery
        for who, (_, reason, _, recovery) in REFUSED.items()
        if who in ("suspended", "retired", "expired", "foreign CA", "another trust domain")
    }
    assert len({*told.values(), Reason.JOIN_TOKEN_USED}) == len(told) + 1
