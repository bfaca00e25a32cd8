"""Names of metrics and attributes, so that both sides spell them alike.

The GenAI names are OpenTelemetry's semantic conventions for generative AI, v1.36 (status: development), pinned here because they
still move. Prometheus names follow its own rules: dots become underscores, the unit is the last word.
"""

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
TOKEN_TYPE = "gen_ai.token.type"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
FINISH_REASON = "gen_ai.response.finish_reasons"

ERROR_TYPE = "error.type"
RPC_SYSTEM = "rpc.system"
RPC_SERVICE = "rpc.service"
RPC_METHOD = "rpc.method"
MESSAGING_SYSTEM = "messaging.system"
HTTP_ROUTE = "http.route"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE_ID = "service.instance.id"

ROUTE = "seawall.route"
DATA_CLASS = "seawall.data_class"
PROVISIONAL = "seawall.provisional"
CONFIDENCE = "seawall.confidence"
RECEIPT_ID = "seawall.receipt.id"
TIER = "seawall.provider.tier"
PROVIDER = "seawall.provider.name"

CHAT = "chat"
"""The value of gen_ai.operation.name for everything that we do."""

OPERATION_DURATION_SECONDS = "gen_ai_server_request_duration_seconds"
TIME_TO_FIRST_TOKEN_SECONDS = "gen_ai_server_time_to_first_token_seconds"
TIME_PER_OUTPUT_TOKEN_SECONDS = "gen_ai_server_time_per_output_token_seconds"
CLIENT_OPERATION_DURATION_SECONDS = "gen_ai_client_operation_duration_seconds"
CLIENT_TOKEN_USAGE = "gen_ai_client_token_usage"

DURATION_BUCKETS_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The buckets that the conventions advise."""

HEARTBEAT_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
GAP_BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 300.0, 3600.0)


def label(attribute: str) -> str:
    """Returns an attribute's name as a Prometheus label."""
    return attribute.replace(".", "_")
