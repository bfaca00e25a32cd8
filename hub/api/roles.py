"""Who may call what. A method that is not here may be called by nobody."""

from contract.identity import ROLES

ANYONE = "anyone"
"""A caller without a certificate: on the enrolment listener alone."""

_EVERY_ROLE = frozenset(ROLES)

_ANYONE = frozenset({ANYONE})
_AGENT = frozenset({"agent"})
_OPERATOR = frozenset({"operator"})
_READERS = frozenset({"operator", "auditor"})
_PUBLISHERS = frozenset({"operator", "publisher"})
_AGENTS_AND_READERS = _AGENT | _READERS
_AGENTS_AND_PUBLISHERS = _AGENT | _PUBLISHERS

_OURS: dict[str, dict[str, frozenset[str]]] = {
    "EnrollmentService": {"Enroll": _ANYONE},
    "RecoveryService": {"CreateRecoveryNonce": _ANYONE, "RecoverCertificate": _ANYONE},
    "CertificateService": {"RenewCertificate": _AGENT},
    "SessionService": {"Connect": _AGENT},
    "EscalationService": {"EscalatePrompt": _AGENT},
    "JoinTokenService": {"CreateJoinToken": _OPERATOR},
    "AgentService": {
        "GetAgent": _READERS,
        "ListAgents": _READERS,
        "UpdateAgent": _OPERATOR,
        "SuspendAgent": _OPERATOR,
        "ResumeAgent": _OPERATOR,
        "RetireAgent": _OPERATOR,
    },
    "GroupService": {
        "GetGroup": _READERS,
        "ListGroups": _READERS,
        "CreateGroup": _OPERATOR,
        "UpdateGroup": _OPERATOR,
        "DeleteGroup": _OPERATOR,
    },
    "CommandService": {
        "CreateCommand": _OPERATOR,
        "GetCommand": _READERS,
        "ListCommands": _READERS,
        "CancelCommand": _OPERATOR,
    },
    "ReleaseService": {
        "GetMetadata": _AGENTS_AND_PUBLISHERS,
        "GetTarget": _AGENTS_AND_PUBLISHERS,
        "FetchBlobs": _AGENTS_AND_PUBLISHERS,
    },
    "PublisherService": {
        "ListMissingBlobs": _PUBLISHERS,
        "UploadBlobs": _PUBLISHERS,
        "PublishMetadata": _PUBLISHERS,
    },
    "RolloutService": {
        "GetRollout": _READERS,
        "ListRollouts": _READERS,
        "ListRolloutAgents": _READERS,
        "CreateRollout": _OPERATOR,
        "PauseRollout": _OPERATOR,
        "ResumeRollout": _OPERATOR,
        "ApproveRollout": _OPERATOR,
        "CancelRollout": _OPERATOR,
        "RollBackRollout": _OPERATOR,
        "WatchRollout": _READERS,
    },
    "LearningService": {
        "GetRound": _READERS,
        "ListRounds": _READERS,
        "CreateRound": _OPERATOR,
        "GetReport": _READERS,
        "GetSums": _READERS,
    },
    "EventService": {"WatchEvents": _READERS, "ListEvents": _READERS},
    "AuditService": {
        "WitnessTreeHead": _AGENT,
        "RecordReceipts": _AGENT,
        "GetTreeHead": _AGENTS_AND_READERS,
        "ListAuditEntries": _READERS,
        "GetAuditTreeHead": _READERS,
    },
}

ALLOWED_ROLES: dict[str, frozenset[str]] = {
    f"/seawall.hub.v1.{service}/{method}": roles for service, methods in _OURS.items() for method, roles in methods.items()
} | {
    "/grpc.health.v1.Health/Check": _EVERY_ROLE,
    "/grpc.health.v1.Health/Watch": _EVERY_ROLE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _EVERY_ROLE,
}
