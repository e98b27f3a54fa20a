"""The settings of Faust that we check before Faust reads them: usable numbers, and values that exactness depends on."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

T = TypeVar("T")
MAX_PARTITIONS = 10_000
MAX_REPLICAS = 32_767
MAX_TIMEOUT_S = 1_800.0
"""The longest session that a broker of Kafka accepts unless configured otherwise."""


def _only(value: T) -> AfterValidator:
    """Accept only this value."""

    def check(given: T) -> T:
        if given != value:
            raise ValueError(f"must be {value}, because exactness depends on it (docs/EXACTNESS.md)")
        return given

    return AfterValidator(check)


class FaustSettings(BaseModel):
    """Faust's names; the defaults count if a settings file of the operator's own leaves the name out."""

    topic_partitions: int = Field(default=8, ge=1, le=MAX_PARTITIONS)
    topic_replication_factor: int = Field(default=1, ge=1, le=MAX_REPLICAS)
    broker_session_timeout: float = Field(default=10.0, ge=1, le=MAX_TIMEOUT_S)
    broker_heartbeat_interval: float = Field(default=3.0, gt=0)
    broker_commit_interval: float = Field(default=1.0, gt=0, le=MAX_TIMEOUT_S)
    stream_buffer_maxsize: int = Field(default=16, ge=1)
    web_port: int | None = Field(default=None, ge=1, le=65_535)
    processing_guarantee: Annotated[str, _only("at_least_once")] = "at_least_once"
    stream_wait_empty: Annotated[bool, _only(False)] = False
    table_standby_replicas: Annotated[int, _only(0)] = 0
    consumer_auto_offset_reset: Annotated[str, _only("earliest")] = "earliest"
    producer_acks: Annotated[int, _only(-1)] = -1
    topic_allow_declare: Annotated[bool, _only(False)] = False
    topic_disable_leader: Annotated[bool, _only(True)] = True

    @field_validator("broker_heartbeat_interval")
    @classmethod
    def _is_within_a_session(cls, interval: float, others: ValidationInfo) -> float:
        session: Any = others.data.get("broker_session_timeout")
        if session is not None and interval >= session:
            raise ValueError(f"must be less than broker_session_timeout, {session:g}; a third of it is usual")
        return interval
