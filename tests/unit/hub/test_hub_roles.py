"""The role table says what the protos say, of exactly what the hub serves."""

import re
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from contract.identity import ROLES
from hub.api.roles import ALLOWED_ROLES, ANYONE

PROTOS = sorted(Path("protos/seawall/hub/v1").glob("*.proto"))
RPC = re.compile(r"((?:  //.*\n)+)  rpc (\w+)\(")
CALLER = re.compile(r"// Caller: (?:roles? ([a-z]+(?:, (?!on\b)[a-z]+)*)|anyone\b)")
SERVICE = re.compile(r"^service (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def promised(proto: Path) -> dict[str, set[str]]:
    """Who may call each method, by the comments above it."""
    result = {}
    for service, body in SERVICE.findall(proto.read_text()):
        for comment, method in RPC.findall(body):
            caller = CALLER.search(comment)
            assert caller is not None, f"{method} does not say who may call it"
            roles = caller[1].split(", ") if caller[1] else [ANYONE]
            result[f"/seawall.hub.v1.{service}/{method}"] = set(roles)
    return result


OURS = {method: roles for proto in PROTOS for method, roles in promised(proto).items()}


def test_the_protos_are_read() -> None:
    assert len(OURS) == sum(proto.read_text().count("  rpc ") for proto in PROTOS) >= 5


@pytest.mark.parametrize("method", OURS)
def test_the_table_says_what_the_proto_says(method: str) -> None:
    assert ALLOWED_ROLES[method] == OURS[method]


def test_nothing_else_is_in_the_table_but_health_and_reflection_for_every_role() -> None:
    health, reflection = health_pb2.DESCRIPTOR.services_by_name["Health"], reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
    introspection = {f"/{service.full_name}/{method.name}" for service in (health, reflection) for method in service.methods}
    assert set(ALLOWED_ROLES) - set(OURS) == introspection - {"/grpc.health.v1.Health/List"}
    for method in introspection & set(ALLOWED_ROLES):
        assert ALLOWED_ROLES[method] == set(ROLES)


def test_only_enrolment_and_recovery_are_open_to_those_without_a_certificate() -> None:
    services = {method.split("/")[1] for method, roles in ALLOWED_ROLES.items() if ANYONE in roles}
    assert services == {"seawall.hub.v1.EnrollmentService", "seawall.hub.v1.RecoveryService"}
