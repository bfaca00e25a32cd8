"""Every way in which a request can be refused, with the reasons that both sides agree on.

    SeawallError
    ├── InvalidRequest          the caller can mend it            400  INVALID_ARGUMENT
    │   ├── PayloadTooLarge     too many bytes                    413  INVALID_ARGUMENT
    │   └── PromptTooLong       more tokens than the model takes  400  INVALID_ARGUMENT
    ├── NotAuthenticated        who is asking is not known        401  UNAUTHENTICATED
    ├── NotPermitted            known, and may not                403  PERMISSION_DENIED
    ├── NotFound                no such thing                     404  NOT_FOUND
    ├── Conflict                it is there already               409  ALREADY_EXISTS
    ├── NotPossibleNow          the state forbids it              409  FAILED_PRECONDITION
    ├── Busy                    too much asked at once            429  RESOURCE_EXHAUSTED
    ├── Superseded              somebody else was faster          409  ABORTED
    ├── Forgotten               it was there, and is no more      410  OUT_OF_RANGE
    └── Unavailable             a part that is needed is away     503  UNAVAILABLE

A reason is an UPPER_SNAKE_CASE constant (AIP-193); the message says what to do next and never holds prompt text.
"""

from enum import StrEnum
from typing import ClassVar

ERROR_DOMAIN = "seawall"
"""The `domain` of every `google.rpc.ErrorInfo`."""


class Reason(StrEnum):
    """The constants. One place, so that none is spelt twice."""

    AGENT_EXISTS = "AGENT_EXISTS"
    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    AGENT_RETIRED = "AGENT_RETIRED"
    AGENT_STOPPING = "AGENT_STOPPING"
    AGENT_SUSPENDED = "AGENT_SUSPENDED"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    ANSWER_NOT_FOUND = "ANSWER_NOT_FOUND"
    API_KEY_INVALID = "API_KEY_INVALID"
    BUNDLE_INVALID = "BUNDLE_INVALID"
    CALIBRATION_INVALID = "CALIBRATION_INVALID"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    COHORT_INVALID = "COHORT_INVALID"
    COHORT_TOO_SMALL = "COHORT_TOO_SMALL"
    COMMAND_BEGUN = "COMMAND_BEGUN"
    COMMAND_NOT_FOUND = "COMMAND_NOT_FOUND"
    COMMAND_UNKNOWN = "COMMAND_UNKNOWN"
    CONFIGURATION_WIDENS = "CONFIGURATION_WIDENS"
    CONFIG_INVALID = "CONFIG_INVALID"
    CONTRIBUTION_INVALID = "CONTRIBUTION_INVALID"
    CSR_INVALID = "CSR_INVALID"
    DATA_CLASS_NOT_ALLOWED = "DATA_CLASS_NOT_ALLOWED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    DETECTOR_INVALID = "DETECTOR_INVALID"
    DETECTOR_UNAVAILABLE = "DETECTOR_UNAVAILABLE"
    DISK_FULL = "DISK_FULL"
    EMBEDDER_INVALID = "EMBEDDER_INVALID"
    EMBEDDER_UNAVAILABLE = "EMBEDDER_UNAVAILABLE"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    EVENTS_FORGOTTEN = "EVENTS_FORGOTTEN"
    FIELD_INVALID = "FIELD_INVALID"
    FIELD_UNKNOWN = "FIELD_UNKNOWN"
    FILTER_INVALID = "FILTER_INVALID"
    GROUP_EXISTS = "GROUP_EXISTS"
    GROUP_NOT_FOUND = "GROUP_NOT_FOUND"
    HOST_NOT_ALLOWED = "HOST_NOT_ALLOWED"
    HUB_BUSY = "HUB_BUSY"
    HUB_UNAVAILABLE = "HUB_UNAVAILABLE"
    INTERNAL = "INTERNAL"
    JOIN_TOKEN_EXPIRED = "JOIN_TOKEN_EXPIRED"
    JOIN_TOKEN_INVALID = "JOIN_TOKEN_INVALID"
    JOIN_TOKEN_USED = "JOIN_TOKEN_USED"
    JSON_INVALID = "JSON_INVALID"
    KEY_UNAVAILABLE = "KEY_UNAVAILABLE"
    LEARNING_BUSY = "LEARNING_BUSY"
    LEARNING_OFF = "LEARNING_OFF"
    LEARNING_UNAVAILABLE = "LEARNING_UNAVAILABLE"
    LOG_DAMAGED = "LOG_DAMAGED"
    LOG_HEAD_MOVED = "LOG_HEAD_MOVED"
    LOG_INCONSISTENT = "LOG_INCONSISTENT"
    LOG_NOT_SIGNED = "LOG_NOT_SIGNED"
    LOG_SIGNATURE_INVALID = "LOG_SIGNATURE_INVALID"
    MEMORY_TOO_SMALL = "MEMORY_TOO_SMALL"
    MODEL_LOADING = "MODEL_LOADING"
    MODEL_SOURCE_INVALID = "MODEL_SOURCE_INVALID"
    MODEL_SOURCE_UNAVAILABLE = "MODEL_SOURCE_UNAVAILABLE"
    MODEL_UNAVAILABLE = "MODEL_UNAVAILABLE"
    MODEL_UNKNOWN = "MODEL_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_REPEATED = "NAME_REPEATED"
    NO_PROVIDER_ALLOWED = "NO_PROVIDER_ALLOWED"
    ORIGIN_NOT_ALLOWED = "ORIGIN_NOT_ALLOWED"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    POLICY_DENIED = "POLICY_DENIED"
    POLICY_INVALID = "POLICY_INVALID"
    PRIVACY_SPENT = "PRIVACY_SPENT"
    PROMPT_ID_USED = "PROMPT_ID_USED"
    PROMPT_INVALID = "PROMPT_INVALID"
    PROMPT_LOST = "PROMPT_LOST"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    PROVIDERS_UNAVAILABLE = "PROVIDERS_UNAVAILABLE"
    QUEUE_FULL = "QUEUE_FULL"
    QUOTA_SPENT = "QUOTA_SPENT"
    RECEIPT_NOT_FOUND = "RECEIPT_NOT_FOUND"
    RECOVERY_REFUSED = "RECOVERY_REFUSED"
    RECOVERY_TOO_LATE = "RECOVERY_TOO_LATE"
    REDACTION_FAILED = "REDACTION_FAILED"
    RELEASE_EXPIRED = "RELEASE_EXPIRED"
    RELEASE_INVALID = "RELEASE_INVALID"
    RELEASE_NOT_FOUND = "RELEASE_NOT_FOUND"
    RELEASE_UNAVAILABLE = "RELEASE_UNAVAILABLE"
    RELEASE_VERSION_CONFLICT = "RELEASE_VERSION_CONFLICT"
    ROLE_NOT_ALLOWED = "ROLE_NOT_ALLOWED"
    ROLLOUT_ACTIVE = "ROLLOUT_ACTIVE"
    ROLLOUT_EXISTS = "ROLLOUT_EXISTS"
    ROLLOUT_NOT_FOUND = "ROLLOUT_NOT_FOUND"
    ROLLOUT_STATE = "ROLLOUT_STATE"
    ROSTER_INVALID = "ROSTER_INVALID"
    ROSTER_OLD = "ROSTER_OLD"
    ROSTER_UNKNOWN = "ROSTER_UNKNOWN"
    ROUND_INTERRUPTED = "ROUND_INTERRUPTED"
    ROUND_KEY_INVALID = "ROUND_KEY_INVALID"
    ROUND_KEY_REPLACED = "ROUND_KEY_REPLACED"
    ROUND_MESSAGE_INVALID = "ROUND_MESSAGE_INVALID"
    ROUND_NOT_FOUND = "ROUND_NOT_FOUND"
    ROUND_OUT_OF_ORDER = "ROUND_OUT_OF_ORDER"
    ROUND_OVER = "ROUND_OVER"
    ROUND_SHARE_INVALID = "ROUND_SHARE_INVALID"
    ROUND_SHORT = "ROUND_SHORT"
    ROUND_UNKNOWN = "ROUND_UNKNOWN"
    SCHEMA_UNKNOWN = "SCHEMA_UNKNOWN"
    SESSION_INVALID = "SESSION_INVALID"
    SESSION_REPLACED = "SESSION_REPLACED"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    SURVIVORS_CONTRADICT = "SURVIVORS_CONTRADICT"
    SURVIVORS_DISPUTED = "SURVIVORS_DISPUTED"
    SURVIVORS_INVALID = "SURVIVORS_INVALID"
    THRESHOLD_TOO_LOW = "THRESHOLD_TOO_LOW"
    TOPIC_UNKNOWN = "TOPIC_UNKNOWN"
    TTL_INVALID = "TTL_INVALID"
    UPDATE_NOT_POSSIBLE = "UPDATE_NOT_POSSIBLE"
    UTF8_INVALID = "UTF8_INVALID"
    WINDOW_SPENT = "WINDOW_SPENT"


class SeawallError(Exception):
    """The base of all errors that cross a boundary.

    Args:
        reason: the constant that a program tells errors apart by.
        message: one sentence for a person: what is wrong and what to do.
    """

    http_status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class InvalidRequest(SeawallError):
    """The caller can mend it."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"


class PayloadTooLarge(InvalidRequest):
    """More bytes than are taken."""

    http_status = 413


class PromptTooLong(InvalidRequest):
    """More tokens than the model takes."""


class NotAuthenticated(SeawallError):
    """Who is asking is not known."""

    http_status = 401
    grpc_code = "UNAUTHENTICATED"


class NotPermitted(SeawallError):
    """Who is asking is known, and may not."""

    http_status = 403
    grpc_code = "PERMISSION_DENIED"


class NotFound(SeawallError):
    """There is no such thing."""

    http_status = 404
    grpc_code = "NOT_FOUND"


class Conflict(SeawallError):
    """It is there already."""

    http_status = 409
    grpc_code = "ALREADY_EXISTS"


class NotPossibleNow(SeawallError):
    """The state of things forbids it."""

    http_status = 409
    grpc_code = "FAILED_PRECONDITION"


class Busy(SeawallError):
    """Too much is asked at once."""

    http_status = 429
    grpc_code = "RESOURCE_EXHAUSTED"


class Superseded(SeawallError):
    """Somebody else was faster: read it again, then try again."""

    http_status = 409
    grpc_code = "ABORTED"


class Forgotten(SeawallError):
    """It was there, and is no more."""

    http_status = 410
    grpc_code = "OUT_OF_RANGE"


class Unavailable(SeawallError):
    """A part that is needed is away."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
