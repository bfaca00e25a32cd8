"""The agent's settings: every limit with its unit and reason, and its default. `agent.config_file` reads them."""

import os
import socket
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from phonenumbers import SUPPORTED_REGIONS
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.cache.similarity import LEAST_SIMILARITY, SimilaritySettings
from agent.confidence import ConfidenceSettings
from agent.inference.settings import EngineSettings
from agent.intake.settings import HttpSettings, MqttSettings
from agent.output_rules import PHRASE_CHARACTERS
from agent.update.pacing import Hours, PaceSettings
from contract.classification import DataClass
from contract.errors import InvalidRequest, Reason
from contract.identity import AGENT_ID, agent_name
from contract.learning_limits import LearningLimits
from contract.tracing import check_endpoint

PREFIX, NESTED = "SEAWALL_AGENT_", "__"
"""Of environment variables."""

_DAY = 24 * 3600.0


def _host_id() -> str:
    name = socket.gethostname().split(".")[0].lower()
    return name if AGENT_ID.fullmatch(name) else "agent"


def _default_state() -> Path:
    given = os.environ.get("STATE_DIRECTORY")  # systemd
    if given:
        return Path(given.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "seawall-agent"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(_Frozen):
    """The model and how it is run; see agent.inference.settings for what each limit means.

    Args:
        bundle: the folder of the model bundle.
        threads: that compute; unset: as many as the cgroup or the machine gives.
        slots: answers at once.
        context_tokens: of prompt and answer together.
        max_tokens: of an answer whose prompt does not say.
        queue: prompts that may wait.
    """

    bundle: Path = Path("/var/lib/seawall/models/current")
    threads: Annotated[int, Field(ge=1)] | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    slots: Annotated[int, Field(ge=1, le=64)] = 8
    context_tokens: Annotated[int, Field(ge=64)] = 2048
    max_tokens: Annotated[int, Field(ge=1)] = 512
    queue: Annotated[int, Field(ge=1)] = 64

    def engine(self, judged_tokens: int) -> EngineSettings:
        """Returns what the engine is told.

        Args:
            judged_tokens: of how many of an answer's first tokens the probability is asked.
        """
        return EngineSettings(
            threads=self.threads,
            providers=self.providers,
            slots=self.slots,
            context_tokens=self.context_tokens,
            default_max_tokens=self.max_tokens,
            queue_size=self.queue,
            logprob_tokens=judged_tokens,
        )


class HubSettings(_Frozen):
    """How the hub is asked.

    Args:
        connect_seconds: how long an answer waits for a connection; the device answers by itself after that.
        timeout_seconds: for a whole answer from the hub.
        follow_up_seconds: for how long a prompt whose answer is provisional, for the hub is away, waits for the better one; 0: not at all.
    """

    connect_seconds: Annotated[float, Field(gt=0)] = 2.0
    timeout_seconds: Annotated[float, Field(gt=0)] = 120.0
    follow_up_seconds: Annotated[float, Field(ge=0)] = _DAY


class TrustSettings(_Frozen):
    """When a local answer is good enough; see agent.confidence."""

    bar: Annotated[float, Field(ge=0, le=1)] = ConfidenceSettings().bar
    held_tokens: Annotated[int, Field(ge=1, le=256)] = ConfidenceSettings().held_tokens
    calibrated_bar: Annotated[float, Field(gt=0, lt=1)] | None = None

    def confidence(self) -> ConfidenceSettings:
        """Returns what the judge is told."""
        return ConfidenceSettings(self.bar, self.held_tokens, self.calibrated_bar)

    @property
    def most_bar(self) -> float:
        """The greatest confidence that may be asked of an answer that stays; which one a calibration asks for is not known here."""
        return self.bar if self.calibrated_bar is None else 1.0


class CacheSettings(_Frozen):
    """Whether a question that means the same as another is answered as that was; see agent.cache.semantic.

    Args:
        similar: whether it is; the same question is in any case.
        similarity_bar: the least cosine of the two.
        calibrated_bar: the least probability that the answer is good, in place of it where a calibration is in force; unset: none is used.
    """

    similar: bool = False
    similarity_bar: Annotated[float, Field(ge=LEAST_SIMILARITY, le=1)] = SimilaritySettings().bar
    calibrated_bar: Annotated[float, Field(gt=0, lt=1)] | None = None

    def similarity(self) -> SimilaritySettings:
        """Returns what the cache is told."""
        return SimilaritySettings(self.similarity_bar, self.calibrated_bar)


class SiteSettings(_Frozen):
    """Where this device stands, for policies.

    Args:
        name: of the site; empty: not known.
        region: of the site, such as de-fra; empty: not known, and what a policy would allow by the region is denied.
    """

    name: str = ""
    region: str = ""


def _data_class(value: object) -> object:
    names = [str(item) for item in DataClass]
    if value not in names:
        raise ValueError(f"write one of {', '.join(names)}")
    return DataClass[str(value).upper()]


class PrivacySettings(_Frozen):
    """What may leave, before the policy is asked.

    Args:
        floor: the least class of any prompt on this site: public, internal, confidential or restricted.
        phone_regions: countries whose national phone numbers are recognised.
        policy_file: Cedar policies in place of the shipped ones.
        signed_policy: the name of a signed policy that is followed, in place of both; empty: none is.
        client_floors: the least class of a client's prompts, by its name: that in its MQTT topics, or `http/` and its API key's name.
        denied_phrases: that no answer from outside may have in it, in any case and spacing; such an answer is withheld.
    """

    floor: Annotated[DataClass, BeforeValidator(_data_class)] = DataClass.PUBLIC
    phone_regions: tuple[str, ...] = ("US", "GB", "DE")
    policy_file: Path | None = None
    signed_policy: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9.-]{0,62})?$")] = ""
    client_floors: dict[str, Annotated[DataClass, BeforeValidator(_data_class)]] = {}
    denied_phrases: tuple[Annotated[str, Field(min_length=2, max_length=PHRASE_CHARACTERS)], ...] = ()

    @field_validator("phone_regions")
    @classmethod
    def _known(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(regions) - SUPPORTED_REGIONS
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is no country that has phone numbers; Britain is GB")
        return regions


class KeepSettings(_Frozen):
    """How long things are kept.

    Args:
        answers: in the cache, at most.
        answer_seconds: before an answer is asked anew.
        conversation_seconds: before a turn is forgotten.
        receipt_seconds: before a receipt is forgotten.
    """

    answers: Annotated[int, Field(ge=0)] = 10_000
    answer_seconds: Annotated[float, Field(gt=0)] = 7 * _DAY
    conversation_seconds: Annotated[float, Field(gt=0)] = 30 * _DAY
    receipt_seconds: Annotated[float, Field(gt=0)] = 365 * _DAY


class TelemetrySettings(_Frozen):
    """Traces. Metrics are always there, at /metrics.

    Args:
        otlp_endpoint: the collector that traces are sent to by OTLP over gRPC; empty: nothing is traced, nothing is sent.
        otlp_ca_file: that signs the collector's certificate, for https; unset: the usual authorities.
        sample_ratio: of the traces that begin here, so many are kept; those that a client began bring their own decision.
    """

    otlp_endpoint: Annotated[str, AfterValidator(check_endpoint)] = ""
    otlp_ca_file: Path | None = None
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0


def _check_hours(text: str) -> str:
    try:
        _ = text and Hours.parse(text)
    except InvalidRequest as error:
        raise ValueError(error.message) from error
    return text


class UpdateSettings(_Frozen):
    """Where new versions of the model come from, and how.

    Args:
        source: `hub`; or a mirror's HTTPS address, or a folder.
        stale_seconds: for how long after its expiry the timestamp in a folder, which was carried here, still brings new versions.
        bytes_per_second: the most that is fetched, on average; 0: as fast as it comes.
        hours: of the site's day in which chunks are fetched, such as `22:00-05:00`; empty: always.
        metered_file: while it is there, the link costs and no chunk is fetched; unset: it never does.
    """

    source: Annotated[str, Field(min_length=1)] = "hub"
    stale_seconds: Annotated[float, Field(ge=0)] = 7 * _DAY
    bytes_per_second: Annotated[float, Field(ge=0)] = 0.0
    hours: Annotated[str, AfterValidator(_check_hours)] = ""
    metered_file: Path | None = None

    def pace(self, now: bool = False) -> PaceSettings:
        """Returns what fetching is held to.

        Args:
            now: whatever the hours are.
        """
        return PaceSettings(self.bytes_per_second, Hours.parse(self.hours) if self.hours and not now else None, self.metered_file)


class LearningSettings(_Frozen):
    """Whether and how this device takes part in sums over the fleet; a signed policy may be stricter.

    Args:
        enabled: whether it does at all.
        roster: the name of the signed roster, which says who the devices of the fleet are.
        smallest_cohort: no sum has fewer contributions.
        exact_cohort: a sum without noise is of so many devices at least; 0: every sum bears noise.
        epsilon: what the device gives away in its life, over all sums with noise; a week costs little more than 1, and 49 weeks 10.
        delta: at which that holds.
    """

    enabled: bool = False
    roster: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")] = "fleet"
    smallest_cohort: int = LearningLimits(False).smallest_cohort
    exact_cohort: int = LearningLimits(False).exact_cohort
    epsilon: float = LearningLimits(False).epsilon
    delta: float = LearningLimits(False).delta

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        try:
            self.limits()
        except InvalidRequest as error:
            raise ValueError(error.message) from error
        return self

    def limits(self) -> LearningLimits:
        """Returns what the device holds a round against."""
        return LearningLimits(self.enabled, self.smallest_cohort, self.exact_cohort, self.epsilon, self.delta)


class AgentSettings(BaseSettings):
    """All of the agent's settings.

    Args:
        agent_id: the name while not enrolled, and the one asked for at enrolment; default: from the host's name.
        state_folder: for everything that the agent writes; under systemd its StateDirectory.
        data_key_file: the key that the store is sealed with, 32 bytes; unset: data.key in the state folder, made at the first start.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    agent_id: str = Field(default_factory=_host_id)
    state_folder: Path = Field(default_factory=_default_state)
    data_key_file: Path | None = None
    model: ModelSettings = ModelSettings()
    mqtt: MqttSettings = MqttSettings()
    http: HttpSettings = HttpSettings()
    hub: HubSettings = HubSettings()
    trust: TrustSettings = TrustSettings()
    cache: CacheSettings = CacheSettings()
    site: SiteSettings = SiteSettings()
    privacy: PrivacySettings = PrivacySettings()
    keep: KeepSettings = KeepSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    update: UpdateSettings = UpdateSettings()
    learning: LearningSettings = LearningSettings()

    @field_validator("agent_id")
    @classmethod
    def _well_formed(cls, agent_id: str) -> str:
        try:
            agent_name(agent_id)
        except InvalidRequest as error:
            raise ValueError(error.message) from error
        return agent_id

    def policy_text(self) -> str:
        """Returns the Cedar policies in force.

        Raises:
            InvalidRequest: POLICY_INVALID, the file cannot be read.
        """
        if self.privacy.policy_file is None:
            return resources.files("contract").joinpath("default.cedar").read_text("utf-8")
        try:
            return self.privacy.policy_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(Reason.POLICY_INVALID, f"The policy file {self.privacy.policy_file} cannot be read: {error}.") from error
