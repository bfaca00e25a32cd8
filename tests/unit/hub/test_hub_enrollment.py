"""Enrolment: a token is good once, for one key, for a while."""

import asyncio
import itertools
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import Conflict, InvalidRequest, NotAuthenticated, Reason, SeawallError
from contract.identity import JoinToken
from hub.fleet.authorities import Authorities, Trust
from hub.fleet.certificates import CertificateAuthority, create_ca_certificate, spiffe_uris
from hub.fleet.enrollment import Enrollment, EnrollmentRequest
from hub.fleet.events import Journal
from hub.store import agents
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.dump import write_lines
from hub.store.engines import create_engine
from hub.store.tables import agents as agents_table
from tests.fakes.hub import certificate_request

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
CA_KEY = ec.generate_private_key(ec.SECP256R1())


class Scene:
    """An enrolment desk on a real database, a clock that stands still, and randomness that counts."""

    def __init__(self, database_url: str) -> None:
        self.now = START
        self.database = Database.open(database_url)
        authority = CertificateAuthority(CA_KEY, create_ca_certificate(CA_KEY, "seawall.test", START), "seawall.test", lambda: self.now)
        numbers = itertools.count(1)
        self.desk = Enrollment(
            self.database,
            Journal(self.database, authority.clock),
            Authorities(Trust(authority)),
            timedelta(days=30),
            lambda size: next(numbers).to_bytes(size),
        )

    async def token(self, ttl: timedelta = timedelta(hours=1)) -> JoinToken:
        token, _ = await self.desk.create_token(ttl)
        return token

    async def enroll(
        self, credential: str, agent_id: str = "", request_id: str = "", key: ec.EllipticCurvePrivateKey = KEY, request: bytes | None = None
    ) -> AgentRecord:
        request = certificate_request(key) if request is None else request
        return await self.desk.enroll(EnrollmentRequest(credential, request, agent_id, request_id or str(uuid.uuid4())))

    async def reason(self, *arguments: str, **options: object) -> Reason:
        with pytest.raises(SeawallError) as raised:
            await self.enroll(*arguments, **options)  # type: ignore[arg-type]  # passed on as they are
        return raised.value.reason


@pytest.fixture
def scene(database_url: str) -> Iterator[Scene]:
    result = Scene(database_url)
    yield result
    result.database.close()


async def test_a_token_gets_a_certificate_for_the_devices_own_key(scene: Scene) -> None:
    record = await scene.enroll((await scene.token()).credential, "plant-7")
    certificate = x509.load_der_x509_certificate(record.certificate)
    assert certificate.public_key() == KEY.public_key()
    assert spiffe_uris(certificate) == ["spiffe://seawall.test/agents/plant-7"]
    assert record.certificate_expire_time == certificate.not_valid_after_utc == START + timedelta(days=30)


async def test_the_hub_chooses_an_id_where_none_is_wanted(scene: Scene) -> None:
    first = await scene.enroll((await scene.token()).credential)
    second = await scene.enroll((await scene.token()).credential)
    assert first.agent_id.startswith("agent-")
    assert first.agent_id != second.agent_id


async def test_a_token_is_spent_by_its_first_use(scene: Scene) -> None:
    token = await scene.token()
    await scene.enroll(token.credential)
    assert await scene.reason(token.credential) is Reason.JOIN_TOKEN_USED


async def test_the_same_request_again_gets_the_same_certificate_even_late(scene: Scene) -> None:
    token, request_id = await scene.token(), str(uuid.uuid4())
    first = await scene.enroll(token.credential, request_id=request_id)
    scene.now += timedelta(days=2)
    assert await scene.enroll(token.credential, request_id=request_id) == first


async def test_the_same_request_with_another_key_is_somebody_else(scene: Scene) -> None:
    token, request_id = await scene.token(), str(uuid.uuid4())
    await scene.enroll(token.credential, request_id=request_id)
    other = ec.generate_private_key(ec.SECP256R1())
    assert await scene.reason(token.credential, request_id=request_id, key=other) is Reason.JOIN_TOKEN_USED


async def test_a_removed_agent_does_not_come_back_by_a_retry(scene: Scene) -> None:
    token, request_id = await scene.token(), str(uuid.uuid4())
    await scene.enroll(token.credential, request_id=request_id)
    await scene.database.write(lambda connection: connection.execute(agents_table.delete()))
    assert await scene.reason(token.credential, request_id=request_id) is Reason.JOIN_TOKEN_USED


async def test_a_token_dies_when_its_time_is_over_and_not_before(scene: Scene) -> None:
    early, late = await scene.token(timedelta(minutes=5)), await scene.token(timedelta(minutes=5))
    scene.now += timedelta(minutes=5, microseconds=-1)
    await scene.enroll(early.credential)
    scene.now += timedelta(microseconds=1)
    assert await scene.reason(late.credential) is Reason.JOIN_TOKEN_EXPIRED


async def test_of_many_at_once_with_one_token_one_wins(scene: Scene) -> None:
    token = await scene.token()
    results = await asyncio.gather(*(scene.enroll(token.credential, f"plant-{number}") for number in range(16)), return_exceptions=True)
    winners = [result for result in results if isinstance(result, AgentRecord)]
    losers = {result.reason for result in results if isinstance(result, SeawallError)}
    assert len(winners) == 1
    assert losers == {Reason.JOIN_TOKEN_USED}
    assert await scene.database.read(lambda connection: agents.page(connection, "", 99)) == winners


async def test_of_many_at_once_with_one_id_one_wins_and_the_other_tokens_stay_good(scene: Scene) -> None:
    tokens = [await scene.token() for _ in range(8)]
    results = await asyncio.gather(*(scene.enroll(token.credential, "plant-7") for token in tokens), return_exceptions=True)
    assert sum(isinstance(result, AgentRecord) for result in results) == 1
    refused = [token for token, result in zip(tokens, results, strict=True) if isinstance(result, Conflict)]
    assert len(refused) == 7
    for token in refused:
        await scene.enroll(token.credential)


async def test_a_bad_request_leaves_the_token_good(scene: Scene) -> None:
    token = await scene.token()
    assert await scene.reason(token.credential, request=b"garbage") is Reason.CSR_INVALID
    assert await scene.reason(token.credential, "Not An Id") is Reason.NAME_INVALID
    await scene.enroll(token.credential)


async def test_a_right_id_with_a_wrong_secret_is_like_a_token_that_never_was(scene: Scene) -> None:
    token = await scene.token()
    wrong = f"{token.token_id}.{'0' * 64}"
    never = f"{'f' * 16}.{token.secret}"
    messages = []
    for credential in (wrong, never):
        with pytest.raises(NotAuthenticated) as raised:
            await scene.enroll(credential)
        messages.append((raised.value.reason, raised.value.message))
    assert messages[0] == messages[1]
    assert messages[0][0] is Reason.JOIN_TOKEN_INVALID


async def test_a_bad_token_is_refused_before_its_request_is_looked_at(scene: Scene) -> None:
    assert await scene.reason(f"{'f' * 16}.{'0' * 64}", request=b"garbage") is Reason.JOIN_TOKEN_INVALID


@settings(deadline=None, max_examples=30)
@given(garbage=st.text(max_size=200))
async def test_garbage_is_no_token(garbage: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = Scene(f"sqlite:///{tmp_path_factory.mktemp('hub')}/hub.db")
    assert await scene.reason(garbage) is Reason.JOIN_TOKEN_INVALID
    scene.database.close()


async def test_the_database_never_holds_the_secret(scene: Scene, database_url: str) -> None:
    token = await scene.token()
    await scene.enroll(token.credential)
    engine = create_engine(database_url)
    dump = "\n".join(line for _, line in write_lines(engine))
    engine.dispose()
    assert token.token_id in dump
    assert token.secret not in dump


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta(days=30, seconds=1)])
async def test_a_time_to_live_out_of_bounds_is_refused(scene: Scene, ttl: timedelta) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await scene.desk.create_token(ttl)
    assert raised.value.reason is Reason.TTL_INVALID
