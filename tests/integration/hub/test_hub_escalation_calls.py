"""Escalation, all of it: an agent over mTLS, a hub, a provider's HTTP server."""

import asyncio
import urllib.request
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import grpc
import grpc.aio
import pytest

from agent.escalation import Completion, EscalationFailed, HubEscalator
from agent.hub_link import HubLink
from agent.identity.files import Identity as AgentIdentity
from agent.known_hub import KnownHub
from agent.prompts import Message, Sampling
from contract.classification import Classification, DataClass
from contract.policy import Policy
from contract.surroundings import Surroundings
from hub.config import Limits, Listeners, ProviderSettings
from hub.store.database import Database
from hub.store.tables import agents
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, escalation_pb2, escalation_pb2_grpc
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_session import session
from tests.fakes.provider_server import (
    HEAD,
    ProviderServer,
    Step,
    anthropic_answer,
    hang,
    openai_answer,
    openai_delta,
    openai_end,
    provider_server,
    reset,
    status,
    wait,
)

FOUR_MEBIBYTES = 4 * 1024 * 1024
NAMES = ("house", "cloud", "good", "bad")
PRIVATE, PUBLIC = escalation_pb2.PROVIDER_TIER_PRIVATE, escalation_pb2.PROVIDER_TIER_PUBLIC


def provider(name: str, server: ProviderServer, tier: Literal["private", "public"] = "private", **settings: Any) -> ProviderSettings:
    kind = settings.pop("kind", "openai")
    url = f"{server.url}/v1" if kind == "openai" else server.url
    return ProviderSettings(name=name, kind=kind, base_url=url, model="m", tier=tier, region=f"{name}-region", **settings)


def profile(name: str, tier: Any = PRIVATE, **fields: Any) -> escalation_pb2.ProviderProfile:
    """As `provider` configures it."""
    return escalation_pb2.ProviderProfile(name=name, tier=tier, region=f"{name}-region", **fields)


def prompt(text: str = "SECRET-PROMPT", tiers: Sequence[Any] = (PRIVATE,), **fields: Any) -> escalation_pb2.EscalatePromptRequest:
    defaults: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "messages": [escalation_pb2.ChatMessage(role=escalation_pb2.MESSAGE_ROLE_USER, content=text)],
        "allowed_providers": [profile(name, tier) for name in NAMES for tier in tiers],
        "data_class": escalation_pb2.DATA_CLASS_PUBLIC,
    }
    return escalation_pb2.EscalatePromptRequest(**{**defaults, **fields})


@dataclass(frozen=True)
class Site:
    """A hub, and an enrolled agent's stub."""

    hub: RunningHub
    stub: Any

    async def answer(self, request: escalation_pb2.EscalatePromptRequest) -> tuple[str, escalation_pb2.EscalatePromptResponse.Completion]:
        """The text, and the completion at its end."""
        pieces = [piece async for piece in self.stub.EscalatePrompt(request, timeout=30)]
        assert not any(piece.HasField("completion") for piece in pieces[:-1])
        return "".join(piece.text_delta for piece in pieces), pieces[-1].completion

    async def refusal(self, request: escalation_pb2.EscalatePromptRequest) -> tuple[str, grpc.StatusCode, str]:
        """What came before the error, its code and its reason."""
        texts: list[str] = []

        async def collect() -> None:
            async for piece in self.stub.EscalatePrompt(request, timeout=30):
                texts.append(piece.text_delta)  # noqa: PERF401  # kept when it raises

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await collect()
        assert "SECRET" not in (raised.value.details() or "")
        return "".join(texts), raised.value.code(), reason_of(raised.value)


@asynccontextmanager
async def site(path: Path, *providers: ProviderSettings, **options: Any) -> AsyncIterator[Site]:
    """Runs a hub, and enrols an agent that may send what it likes."""
    async with running_hub(path, providers, **options) as hub, agent_at(hub, "plant-7") as stub:
        yield Site(hub, stub)


@asynccontextmanager
async def agent_at(hub: RunningHub, agent_id: str) -> AsyncIterator[Any]:
    """Enrols an agent; when the block ends, it hangs up."""
    async with hub.channel(await hub.enroll(agent_id), max_send_message_length=-1) as channel:
        yield escalation_pb2_grpc.EscalationServiceStub(channel)


async def test_an_answer_streams_with_its_completion_at_the_end(tmp_path: Path) -> None:
    async with provider_server(openai_answer("Hel", "lo")) as server, site(tmp_path, provider("house", server)) as here:
        text, completion = await here.answer(prompt())
    assert text == "Hello"
    assert completion == escalation_pb2.EscalatePromptResponse.Completion(
        provider="house", tier=PRIVATE, region="house-region", model="m-1", input_tokens=7, output_tokens=2, finish_reason="stop"
    )


async def test_the_first_piece_comes_before_the_last_is_made(tmp_path: Path) -> None:
    gate = asyncio.Event()
    steps = [HEAD, openai_delta("first"), wait(gate), openai_delta("last"), *openai_end()]
    async with provider_server(steps) as server, site(tmp_path, provider("house", server)) as here:
        pieces = aiter(here.stub.EscalatePrompt(prompt(), timeout=30))
        assert (await anext(pieces)).text_delta == "first"
        gate.set()
        assert [piece.text_delta async for piece in pieces] == ["last", ""]


@pytest.mark.parametrize(("method", "reason"), [("SuspendAgent", "AGENT_SUSPENDED"), ("RetireAgent", "AGENT_RETIRED")])
async def test_an_answer_under_way_ends_when_its_agent_is_shut_out(tmp_path: Path, method: str, reason: str) -> None:
    steps = [HEAD, openai_delta("first"), hang()]
    async with provider_server(steps) as server, site(tmp_path, provider("house", server)) as here:
        pieces = aiter(here.stub.EscalatePrompt(prompt(), timeout=30))
        await anext(pieces)
        async with here.hub.channel(here.hub.operator) as channel:
            stub: Any = agent_pb2_grpc.AgentServiceStub(channel)
            await getattr(stub, method)(getattr(agent_pb2, f"{method}Request")(name="agents/plant-7"))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await anext(pieces)
    assert (raised.value.code(), reason_of(raised.value)) == (grpc.StatusCode.PERMISSION_DENIED, reason)


async def test_a_public_provider_is_asked_when_the_prompt_may_go_there(tmp_path: Path) -> None:
    async with provider_server(anthropic_answer("hi")) as server:
        cloud = provider("cloud", server, "public", kind="anthropic", api_key_env="CLOUD_KEY")
        async with site(tmp_path, cloud, api_keys={"cloud": "k-1"}) as here:
            _, completion = await here.answer(prompt(tiers=[PRIVATE, PUBLIC]))
            assert (completion.provider, completion.tier) == ("cloud", PUBLIC)
            assert await here.refusal(prompt(tiers=[PRIVATE])) == ("", grpc.StatusCode.FAILED_PRECONDITION, "NO_PROVIDER_ALLOWED")
        assert "k-1" in str(server.headers)
        assert len(server.requests) == 1


@pytest.mark.parametrize("fault", [[status(500)], [status(401)], [status(429)], [reset()], [HEAD, hang()], [HEAD]])
async def test_the_next_provider_answers_when_one_fails_before_its_first_word(tmp_path: Path, fault: list[Step]) -> None:
    async with (
        provider_server(fault) as bad,
        provider_server(openai_answer("good")) as good,
        site(tmp_path, provider("bad", bad, first_token_seconds=0.3), provider("good", good)) as here,
    ):
        text, completion = await here.answer(prompt())
    assert (text, completion.provider) == ("good", "good")


async def test_an_answer_that_breaks_off_ends_with_an_error_and_nobody_else_is_asked(tmp_path: Path) -> None:
    async with provider_server([HEAD, openai_delta("half"), reset()]) as bad, provider_server(openai_answer("good")) as good:
        async with site(tmp_path, provider("bad", bad), provider("good", good)) as here:
            assert await here.refusal(prompt()) == ("half", grpc.StatusCode.UNAVAILABLE, "PROVIDERS_UNAVAILABLE")
        assert good.requests == []


async def test_when_all_fail_the_agent_is_told_and_the_circuit_opens(tmp_path: Path) -> None:
    limits = Limits(breaker_failures=2, breaker_seconds=3600, stop_seconds=0)
    async with provider_server([status(500)]) as bad, site(tmp_path, provider("bad", bad), limits=limits) as here:
        for _ in range(4):
            assert await here.refusal(prompt()) == ("", grpc.StatusCode.UNAVAILABLE, "PROVIDERS_UNAVAILABLE")
        assert len(bad.requests) == 2


async def test_a_prompt_that_every_provider_refuses_is_the_callers_fault(tmp_path: Path) -> None:
    async with provider_server([status(400)]) as server, site(tmp_path, provider("house", server)) as here:
        assert await here.refusal(prompt()) == ("", grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_INVALID")


async def test_a_restricted_prompt_reaches_nobody(tmp_path: Path) -> None:
    async with provider_server(openai_answer("x")) as server, site(tmp_path, provider("house", server)) as here:
        got = await here.refusal(prompt(data_class=escalation_pb2.DATA_CLASS_RESTRICTED))
        assert got == ("", grpc.StatusCode.PERMISSION_DENIED, "DATA_CLASS_NOT_ALLOWED")
        got = await here.refusal(prompt(data_class=escalation_pb2.DATA_CLASS_UNSPECIFIED))
        assert got == ("", grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_INVALID")
        assert server.requests == []


@pytest.mark.parametrize("how", ["cancels", "hangs up", "runs out of time"])
async def test_an_agent_that_goes_takes_its_request_to_the_provider_with_it(tmp_path: Path, how: str) -> None:
    steps = [HEAD, openai_delta("half"), hang()]
    async with provider_server(steps) as server, running_hub(tmp_path, [provider("house", server)]) as hub:
        async with agent_at(hub, "plant-7") as stub:
            call = stub.EscalatePrompt(prompt(), timeout=1 if how == "runs out of time" else 30)
            assert (await anext(aiter(call))).text_delta == "half"
            assert not server.hung_up.is_set()
            if how == "cancels":
                call.cancel()
            if how != "hangs up":
                await asyncio.wait_for(server.hung_up.wait(), 10)
        await asyncio.wait_for(server.hung_up.wait(), 10)


async def test_one_agent_has_so_many_places_and_gets_them_back(tmp_path: Path) -> None:
    gate = asyncio.Event()
    steps = [HEAD, openai_delta("half"), wait(gate), *openai_end()]
    limits = Limits(escalations_per_agent=2, stop_seconds=0)
    async with provider_server(steps) as server, site(tmp_path, provider("house", server), limits=limits) as here:
        async with agent_at(here.hub, "plant-8") as other:
            held = [aiter(stub.EscalatePrompt(prompt(), timeout=30)) for stub in (here.stub, here.stub, other)]
            for pieces in held:
                assert (await anext(pieces)).text_delta == "half"
            assert await here.refusal(prompt()) == ("", grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
            gate.set()
            for pieces in held:
                assert [piece.HasField("completion") async for piece in pieces] == [True]
        assert (await here.answer(prompt()))[0] == "half"


async def test_a_message_may_have_four_mebibytes_and_not_more(tmp_path: Path) -> None:
    async with provider_server(openai_answer("x")) as server, site(tmp_path, provider("house", server)) as here:
        fits = prompt("\U0001f30a" * 1_000_000)
        assert 4_000_000 < fits.ByteSize() < FOUR_MEBIBYTES
        assert (await here.answer(fits))[0] == "x"
        assert await here.refusal(prompt("x" * FOUR_MEBIBYTES)) == ("", grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        assert await here.refusal(prompt("x" * 1_000_001)) == ("", grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_INVALID")
        assert (await here.answer(prompt()))[0] == "x"
        assert len(server.requests) == 2


async def test_a_call_is_seen_in_the_list_of_agents(tmp_path: Path) -> None:
    wanted = agent_pb2.GetAgentRequest(name="agents/plant-7")
    async with (
        provider_server(openai_answer("x")) as server,
        site(tmp_path, provider("house", server)) as here,
        here.hub.channel(here.hub.operator) as channel,
    ):
        operator = agent_pb2_grpc.AgentServiceStub(channel)
        before = await operator.GetAgent(wanted)
        await here.answer(prompt())
        after = await operator.GetAgent(wanted)
    assert not before.HasField("last_seen_time")
    assert after.last_seen_time.ToDatetime() >= after.create_time.ToDatetime()
    assert after.spiffe_id == "spiffe://seawall.test/agents/plant-7"


async def test_a_removed_agent_is_refused_on_the_connection_it_has(tmp_path: Path) -> None:
    async with provider_server(openai_answer("x")) as server, site(tmp_path, provider("house", server)) as here:
        await here.answer(prompt())
        database = Database.open(here.hub.folder.database_url)
        await database.write(lambda connection: connection.execute(agents.delete()))
        database.close()
        assert await here.refusal(prompt()) == ("", grpc.StatusCode.PERMISSION_DENIED, "AGENT_NOT_FOUND")


async def test_a_fault_of_our_own_shows_nothing_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with provider_server(openai_answer("x")) as server, site(tmp_path, provider("house", server)) as here:
        database = Database.open(here.hub.folder.database_url)
        await database.write(lambda connection: connection.exec_driver_sql("UPDATE agents SET create_time = 'SECRET, no time'"))
        database.close()
        text, code, reason = await here.refusal(prompt())
    assert (text, code, reason) == ("", grpc.StatusCode.INTERNAL, "INTERNAL")
    logged = capsys.readouterr().out
    assert "unexpected error" in logged
    assert "ValueError" in logged
    assert "SECRET" not in logged


async def test_metrics_are_served_with_the_conventions_names_and_no_prompt(tmp_path: Path) -> None:
    listeners = Listeners(enrollment="127.0.0.1:0", mtls="127.0.0.1:0", metrics="127.0.0.1:0")
    async with provider_server(openai_answer("x")) as server, site(tmp_path, provider("house", server), listeners=listeners) as here:
        await here.answer(prompt())
        text = await asyncio.to_thread(scrape, here.hub.hub.metrics_port)
    labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="m"'
    assert f'gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="input"}} 7.0' in text
    assert 'seawall_hub_calls_total{code="OK",method="/seawall.hub.v1.EscalationService/EscalatePrompt"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "SECRET" not in text


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read().decode())


NO_PUBLIC = '@id("no-public") forbid (principal, action == Action::"escalate", resource) when { resource.tier == Tier::"public" };'


@pytest.fixture
def no_public(tmp_path: Path) -> Path:
    file = tmp_path / "hub.cedar"
    file.write_text(resources.files("contract").joinpath("default.cedar").read_text() + NO_PUBLIC)
    return file


async def test_what_only_the_agents_policy_allows_is_denied_by_the_hubs_and_no_provider_is_asked(tmp_path: Path, no_public: Path) -> None:
    async with provider_server(openai_answer("x")) as server:
        async with site(tmp_path, provider("cloud", server, "public"), policy_file=no_public) as here:
            assert await here.refusal(prompt(tiers=[PUBLIC])) == ("", grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
        assert server.requests == []


async def test_a_prompt_never_falls_back_to_a_provider_that_the_hubs_policy_denies(tmp_path: Path, no_public: Path) -> None:
    async with provider_server(openai_answer("x")) as server, provider_server([status(500)]) as bad:
        providers = [provider("house", bad), provider("cloud", server, "public")]
        async with site(tmp_path, *providers, policy_file=no_public) as here:
            refused = await here.refusal(prompt(tiers=[PRIVATE, PUBLIC]))
            assert refused == ("", grpc.StatusCode.UNAVAILABLE, "PROVIDERS_UNAVAILABLE")
        assert server.requests == []
        assert len(bad.requests) == 1


async def test_a_confidential_prompt_is_answered_only_where_the_operator_says_that_the_agent_is_of_the_providers_region(
    tmp_path: Path,
) -> None:
    asked = prompt(data_class=escalation_pb2.DATA_CLASS_CONFIDENTIAL, redacted=True)
    async with (
        provider_server(openai_answer("x")) as server,
        site(tmp_path, provider("house", server), region="house-region") as here,
        here.hub.channel(here.hub.operator) as channel,
    ):
        assert await here.refusal(asked) == ("", grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
        labelled = agent_pb2.Agent(name="agents/plant-7", labels={"region": "house-region"})
        await agent_pb2_grpc.AgentServiceStub(channel).UpdateAgent(agent_pb2.UpdateAgentRequest(agent=labelled))
        assert (await here.answer(asked))[0] == "x"
        unredacted = prompt(data_class=escalation_pb2.DATA_CLASS_CONFIDENTIAL)
        assert await here.refusal(unredacted) == ("", grpc.StatusCode.PERMISSION_DENIED, "POLICY_DENIED")
        assert len(server.requests) == 1


async def test_an_agent_that_knows_the_hub_from_its_welcome_sends_what_its_policy_allows_and_both_decide(tmp_path: Path) -> None:
    asked, sampling = [Message("user", "hello")], Sampling()
    async with (
        provider_server(openai_answer("x")) as server,
        running_hub(tmp_path / "hub", [provider("cloud", server, "public"), provider("house", server)], region="house-region") as hub,
    ):
        pair = await hub.enroll("plant-7")
        identity = AgentIdentity("plant-7", "seawall.test", hub.mtls_target, pair.key, pair.certificate, hub.ca_certificate)
        known, link = KnownHub(tmp_path / "hub.json", identity), HubLink(identity)
        async with session(hub, pair) as agent:
            known.tell((await agent.hello()).hub)
        policy = Policy(resources.files("contract").joinpath("default.cedar").read_text())
        around = Surroundings(region="house-region", hub=known.hub, can_redact=True)
        confidential, public = Classification(DataClass.CONFIDENTIAL, ("PERSON",)), Classification(DataClass.PUBLIC)
        decision = policy.decide("plant-7", confidential, around)
        assert [(route.provider.name, route.redacted) for route in decision.routes] == [("house", True)]
        with pytest.raises(EscalationFailed, match="policy-denied"):
            await anext(HubEscalator(link).escalate(asked, sampling, confidential, decision, around))
        async with hub.channel(hub.operator) as channel:
            labelled = agent_pb2.Agent(name="agents/plant-7", labels={"region": "house-region"})
            await agent_pb2_grpc.AgentServiceStub(channel).UpdateAgent(agent_pb2.UpdateAgentRequest(agent=labelled))
        *_, confidential_end = [piece async for piece in HubEscalator(link).escalate(asked, sampling, confidential, decision, around)]
        open_decision = policy.decide("plant-7", public, around)
        *_, public_end = [piece async for piece in HubEscalator(link).escalate(asked, sampling, public, open_decision, around)]
        await link.close()
    assert isinstance(confidential_end, Completion)
    assert isinstance(public_end, Completion)
    assert (confidential_end.provider, public_end.provider, len(server.requests)) == ("house", "cloud", 2)
