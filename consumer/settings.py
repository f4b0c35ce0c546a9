"""The settings: read once, from the environment and `.env`, and frozen."""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from consumer.domain.errors import SettingsError
from consumer.domain.languages import SHIPPED, group_for
from consumer.domain.outputs import NAMES as OUTPUT_NAMES
from consumer.domain.outputs import RESULT
from consumer.domain.parts import MOST_PAGES

PREFIX: Final = "BUCKET_OCR_"

#: SQS accepts visibility timeouts up to 12 hours. A lease is far below that, so that another consumer soon
#: takes over from a killed one, and far above the time of a slow request.
_MIN_LEASE_S, _MAX_LEASE_S = 10, 3600

#: SQS hides a message for at most this long.
_MAX_HOLD_S = 12 * 3600.0


def _unless_auto(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "auto" else value


_LOWER = BeforeValidator(str.lower)


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|gpu(:\d+(,\d+)*)?", value):
        raise ValueError("must be auto, cpu, gpu, or gpu:0 and the like, several separated by commas")
    return value


def _language_group(value: str) -> str:
    return group_for(value).name


def _topic(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"arn:[a-z0-9-]+:sns:[a-z0-9-]+:\d{12}:[\w-]+", value):
        raise ValueError("must be the ARN of an SNS topic that is not FIFO")
    return value


def _sse(value: str | None) -> str | None:
    # S3 distinguishes capitals.
    return {"aes256": "AES256"}.get(value.lower(), value.lower()) if value else None


def _outputs(value: str | frozenset[str]) -> frozenset[str]:
    if isinstance(value, frozenset):
        return value
    names = {name.strip() for name in value.lower().split(",")} - {""}
    if unknown := sorted(names - OUTPUT_NAMES):
        raise ValueError(f"unknown: {', '.join(unknown)} (known: {', '.join(sorted(OUTPUT_NAMES))})")
    return frozenset(names | {RESULT})


_Settings = TypeVar("_Settings", bound=BaseSettings)

#: A number, or None for "auto": it is chosen for the host.
_Count = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_unless_auto)]

#: Each page of a batch is an open file of its request, and Linux passes 253 of them at once.
_BatchPages = Annotated[int, Field(ge=1, le=250)]


class PartSettings(BaseSettings):
    """Settings of the parts of documents, for commands that count them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    #: Longer documents are read in parts of so many pages.
    part_pages: int = Field(default=64, ge=1)


class QueueSettings(BaseSettings):
    """Settings of the queue, for commands that read no documents."""

    model_config = PartSettings.model_config

    #: URL of the queue to consume.
    queue_url: str = Field(min_length=1)


class PageSettings(BaseSettings):
    """Settings of the images of pages, for commands that render them."""

    model_config = PartSettings.model_config

    #: Resolution of rendered PDF pages.
    render_dpi: float = Field(default=144.0, ge=36, le=1200)
    #: Most pages of a document that is read.
    max_pages: int = Field(default=20_000, ge=1, le=MOST_PAGES)
    #: Larger pages are rendered smaller, with a warning.
    max_page_pixels: int = Field(default=40_000_000, ge=10_000)
    #: Largest source that is read.
    max_file_bytes: int = Field(default=1024**3, ge=1)
    #: Walls round child processes: those that the kernel offers, or none; `require`: all, or no start.
    sandbox: Annotated[Literal["auto", "require", "off"], _LOWER] = "auto"


class EngineSettings(BaseSettings):
    """Settings of the engine, for commands that need no queue."""

    model_config = PartSettings.model_config

    # `engines.choose` checks it: the engines are known there.
    engine: Annotated[str, _LOWER] = "auto"
    #: Device of the engine.
    device: Annotated[str, _LOWER, AfterValidator(_device)] = "auto"
    #: Backend that runs the networks of pp-structurev3.
    engine_runtime: Annotated[Literal["auto", "paddle", "paddle_fp16", "onnxruntime"], _LOWER] = "auto"
    #: Preset or YAML file, merged over the packaged PP-StructureV3.yaml.
    pipeline_config: str | None = None
    #: Name of the group (`domain.languages`) that reads all languages of a comma list.
    languages: Annotated[str, _LOWER, AfterValidator(_language_group)] = SHIPPED.name
    #: How rapidocr finds blocks and tables; pp-structurev3 does so by itself.
    layout: Annotated[Literal["auto", "none", "fast", "full"], _LOWER] = "auto"


class Settings(QueueSettings, EngineSettings, PageSettings, PartSettings):
    """All settings, each read from `BUCKET_OCR_<NAME>`; botocore reads credentials and region."""

    #: Engine processes; on GPUs, for each of them.
    engine_workers: _Count = None
    #: Most pages given to an engine at once.
    batch_pages: Annotated[_BatchPages | None, BeforeValidator(_unless_auto)] = None
    #: Processes that render pages.
    render_workers: _Count = None
    #: Most messages in flight at once.
    max_in_flight: _Count = None
    #: Visibility lease, renewed every third of it.
    lease_s: int = Field(default=60, ge=_MIN_LEASE_S, le=_MAX_LEASE_S)
    #: Longest time without progress on a document.
    stall_s: float = Field(default=300.0, gt=0, le=_MAX_HOLD_S)
    #: Time to finish after SIGTERM.
    drain_s: float = Field(default=100.0, ge=0, le=_MAX_HOLD_S)
    #: An engine process is replaced after so many pages,
    recycle_pages: int = Field(default=2000, ge=1)
    #: or before it holds so much memory.
    recycle_rss_bytes: _Count = None
    #: Folder for downloads and page images; by default a new one in the system's temporary folder.
    work_dir: Path | None = None
    #: What is written of each document: a comma list; the result (json) always is.
    outputs: Annotated[frozenset[str], NoDecode, BeforeValidator(_outputs)] = frozenset({RESULT})
    #: Boxes and confidences of words in the result.
    words: bool = False
    #: Server-side encryption that is asked for with each put; by default that of the bucket.
    sse: Annotated[Literal["AES256", "aws:kms", "aws:kms:dsse"] | None, BeforeValidator(_sse)] = None
    #: Key of KMS for it; by default that of the bucket, or of the account.
    sse_kms_key_id: str | None = None
    #: SNS topic for a message per finished document.
    completion_topic_arn: Annotated[str | None, AfterValidator(_topic)] = None
    #: Address of /healthz, /readyz and /metrics,
    health_host: str = Field(default="127.0.0.1", min_length=1)
    #: and their port; 0 turns them off.
    health_port: int = Field(default=8080, ge=0, le=65_535)
    #: End with exit status 0 after so long without a message.
    idle_exit_s: float | None = Field(default=None, gt=0)
    log_format: Annotated[Literal["auto", "json", "console"], _LOWER] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _LOWER] = "info"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stall_s < self.lease_s:
            raise ValueError(
                f"{PREFIX}STALL_S ({self.stall_s:g}) must be at least {PREFIX}LEASE_S ({self.lease_s})"
            )
        if self.sse_kms_key_id is not None and not (self.sse or "").startswith("aws:kms"):
            raise ValueError(f"{PREFIX}SSE_KMS_KEY_ID needs {PREFIX}SSE=aws:kms or aws:kms:dsse")
        folder = self.work_dir
        if folder is not None and not (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
            raise ValueError(f"{PREFIX}WORK_DIR ({folder}) is not a folder that can be written to")
        return self


def load(kind: type[_Settings]) -> _Settings:
    """Read the settings; raises SettingsError, whose one line names each wrong setting and its problem."""
    try:
        return kind()
    except UnicodeDecodeError as error:
        raise SettingsError(f".env is not UTF-8: {error}") from error
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(detail) for detail in error.errors())) from error


def export_aws() -> None:
    """Put the AWS variables of `.env` into the environment, which is all that botocore reads.

    Those that are there already have precedence. Raises SettingsError if the file cannot be read.
    """
    try:
        for name, value in dotenv_values(".env").items():
            if name.startswith("AWS_") and value:
                os.environ.setdefault(name, value)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f".env cannot be read: {error}") from error


def unknown() -> list[str]:
    """Return names with our prefix that are no setting: misspelt ones, which would silently do nothing.

    They are no error: if a service is named bucket-ocr, Kubernetes sets variables such as
    `BUCKET_OCR_SERVICE_HOST` in every pod.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = {name.upper() for name in (*os.environ, *dotenv_values(".env"))}
    return sorted(name for name in named - known if name.startswith(PREFIX))


def _problem(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "bool_parsing":
        message = "must be true or false"
    if not detail["loc"]:
        return message
    name = f"{PREFIX}{str(detail['loc'][0]).upper()}"
    return f"{name} is not set" if detail["type"] == "missing" else f"{name}={detail['input']!r}: {message}"
