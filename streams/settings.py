"""Every setting, read once from SAFELIGHT_* and passed as values."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.topics import (
    ADMIT_CHANGELOG,
    ENRICH_CHANGELOG,
    KEEP_RESULTS,
    PARTITIONS,
    REMEMBER,
    RETENTION,
    Topic,
    remembered_for,
)

STACK_SETTINGS = "settings.env"
"""File in the data folder where a running stack says how to reach it."""


def _duration(value: object, parse: ValidatorFunctionWrapHandler) -> timedelta:
    try:
        duration: timedelta = parse(_number(value) if isinstance(value, str) else value)
    except (ValidationError, OverflowError) as error:
        what = "say how many seconds (0.5), or an ISO 8601 duration (PT0.5S), above 0"
        raise PydanticCustomError("duration", what) from error
    return duration


def _number(text: str) -> float | str:
    """As a number, which pydantic takes for seconds only when it is no text."""
    try:
        return float(text)
    except ValueError:
        return text


Duration = Annotated[timedelta, Field(gt=timedelta(0)), WrapValidator(_duration)]
"""Above 0; a number, in a variable too, is seconds."""


class Settings(BaseSettings):
    """Frozen. A wrong value names its variable in the error. A duration is a number of seconds, or ISO 8601."""

    model_config = SettingsConfigDict(env_prefix="SAFELIGHT_", frozen=True, extra="ignore")

    brokers: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port, comma separated.")
    namespace: str = Field(
        "", pattern=r"^[a-z0-9]*$", description="Prefix of topics, groups and the database: staging beside production."
    )
    generation: int = Field(1, ge=1, description="Rises when photos.events is replaced by a new topic.")
    partitions: int = Field(PARTITIONS, ge=1, description="Partitions of every topic that photos travel on.")
    replication: int = Field(
        1, ge=1, description="Replicas of every topic; 3 in production, where two have to have what is acknowledged."
    )

    data: Path = Field(Path(".safelight"), description="Folder for local state: it can be lost, Kafka has everything.")
    hash_key: SecretStr = Field(
        SecretStr(""),
        description="Key of the hashes under which ids are remembered; the same on every worker, for good.",
    )
    remember: Duration = Field(REMEMBER, description="How long admit remembers event ids.")

    object_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="URLs under which photos may be read, comma separated: ops/docs/object_roots.md."
    )
    private_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Those of them that lie in your own network, comma separated: private addresses and http are read there.",
    )
    max_object_bytes: int = Field(200 << 20, ge=1, description="A larger object is rejected.")
    keep_results: Duration = Field(
        KEEP_RESULTS, description="How long what was seen in a content serves further photos of it."
    )
    patience: Duration = Field(
        timedelta(days=3),
        lt=RETENTION,
        description="How long a photo waits for a model or an object root that is away.",
    )
    triton: str = Field("127.0.0.1:8001", description="Triton's gRPC address, host:port.")
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("scene_label", "object_detect", "face_detect", "unsafe"),
        description="Models to ask, comma separated: ops/docs/models.md has them all.",
    )
    decoders: int = Field(
        0, ge=0, description="How many photos a worker decodes at once, each in a process; 0: one a processor."
    )
    decoder_bytes: int = Field(
        2 << 30,
        ge=256 << 20,
        description="Memory that one of them may take: a photo that needs more is rejected; 120 megapixels fit into the default.",
    )

    clickhouse_url: str = Field("http://127.0.0.1:8123", description="ClickHouse's HTTP interface.")
    clickhouse_user: str = "default"
    clickhouse_password: SecretStr = SecretStr("")
    clickhouse_cluster: str = Field("", description="Name of a cluster: tables are then replicated.")

    session: Duration = Field(
        timedelta(seconds=10), description="A worker silent for so long is given up by its group."
    )
    batch_records: int = Field(2000, ge=1, description="Most records of a batch, for all agents but enrich.")
    enrich_batch_records: int = Field(64, ge=1, description="Most photos of a batch of enrich.")
    pending_age: Duration = Field(
        timedelta(days=1),
        description="Rows pending for longer are not inserted: ClickHouse might have forgotten that it has them.",
    )
    stall: Duration = Field(
        timedelta(minutes=5),
        description="A partition that has work, waits for nothing and makes no progress for so long ends its worker.",
    )
    metrics_interval: Duration = Field(timedelta(seconds=1), description="How often a worker publishes its metrics.")

    @field_validator("object_roots", "private_roots", "models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @classmethod
    def read(cls, **given: Any) -> Settings:
        """What is given, else SAFELIGHT_* variables, else what a stack running in the data folder says of itself.

        So a command typed beside a running `safelight up` finds it. Raises pydantic's ValidationError, which names the variable.
        """
        data = Path(given.get("data") or os.environ.get("SAFELIGHT_DATA") or cls.model_fields["data"].default)
        return cls(_env_file=data / STACK_SETTINGS, **given)

    def topic(self, topic: Topic) -> str:
        """The topic's name on the broker."""
        return f"{self.namespace}.{topic.name}" if self.namespace else topic.name

    def group(self, agent: str) -> str:
        """The consumer group of an agent."""
        return f"{self.namespace}.safelight-{agent}" if self.namespace else f"safelight-{agent}"

    @property
    def database(self) -> str:
        """The ClickHouse database."""
        return f"{self.namespace}_safelight" if self.namespace else "safelight"

    def partitions_of(self, topic: Topic) -> int:
        """How many partitions the topic has by the contract."""
        return self.partitions if topic.partitions == PARTITIONS else topic.partitions

    def declared(self, topic: Topic) -> Topic:
        """The topic with the partitions, the replicas and the retention that these settings give it."""
        kept = {ADMIT_CHANGELOG.name: remembered_for(self.remember), ENRICH_CHANGELOG.name: self.keep_results}
        retention = kept.get(topic.name, topic.retention)
        return replace(topic, partitions=self.partitions_of(topic), replicas=self.replication, retention=retention)
