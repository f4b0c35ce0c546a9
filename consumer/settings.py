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


def unless_auto(value: object) -> object:
    """Validate a setting that may be `auto`, which is None."""
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
_Count = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(unless_auto)]

#: Each page of a batch is an open file of its request, and Linux passes 253 of them at once.
_BatchPages = Annotated[int, Field(ge=1, le=250)]


class PartSettings(BaseSettings):
    """Settings of the parts of documents, for commands that count them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    part_pages: int = Field(
        default=64,
        ge=1,
        description="Pages of a part. Documents with more pages are read in parts, by all consumers.",
    )


class QueueSettings(BaseSettings):
    """Settings of the queue, for commands that read no documents."""

    model_config = PartSettings.model_config

    queue_url: str = Field(min_length=1, description="URL of the queue to consume; `make local` prints one.")


class PageSettings(BaseSettings):
    """Settings of the images of pages, for commands that render them."""

    model_config = PartSettings.model_config

    render_dpi: float = Field(
        default=144.0,
        ge=36,
        le=1200,
        description="Resolution of rendered PDF pages. 144 dpi is 2 pixels per point.",
    )
    max_pages: int = Field(
        default=20_000, ge=1, le=MOST_PAGES, description="Documents with more pages get a `FAILURE` result."
    )
    max_page_pixels: int = Field(
        default=40_000_000,
        ge=10_000,
        description="Pages with more pixels are rendered smaller, with a warning.",
    )
    max_file_bytes: int = Field(
        default=1024**3, ge=1, description="Larger files (the default is 1 GiB) get a `FAILURE` result."
    )
    sandbox: Annotated[Literal["auto", "require", "off"], _LOWER] = Field(
        default="auto",
        description="Walls round the processes that open documents. `auto`: those that the kernel offers; "
        "the log and `bucket-ocr doctor` say which. `require`: all, or no start. `off`: none.",
    )


class EngineSettings(BaseSettings):
    """Settings of the engine, for commands that need no queue."""

    model_config = PartSettings.model_config

    # `engines.choose` checks it: the engines are known there.
    engine: Annotated[str, _LOWER] = Field(
        default="auto",
        description="The engine: `rapidocr` or `pp-structurev3`. `auto`: PP-StructureV3 if it is "
        "installed, else RapidOCR.",
    )
    device: Annotated[str, _LOWER, AfterValidator(_device)] = Field(
        default="auto",
        description="Device of the engine: `cpu`, `gpu` (all visible ones), `gpu:0`, `gpu:0,1`. `auto`: "
        "all GPUs (with RapidOCR only if onnxruntime-gpu is installed), or the processors if there is none. "
        "A missing GPU is an error.",
    )
    engine_runtime: Annotated[Literal["auto", "paddle", "paddle_fp16", "onnxruntime"], _LOWER] = Field(
        default="auto",
        description="With PP-StructureV3: the runtime of its networks. `auto`: the installed one, Paddle "
        "first.",
    )
    pipeline_config: str | None = Field(
        default=None,
        description="With PP-StructureV3: its networks, `fast`, `balanced` or `full`, or a YAML file that "
        "is merged over the packaged one. Unset: `balanced`.",
    )
    languages: Annotated[str, _LOWER, AfterValidator(_language_group)] = Field(
        default=SHIPPED.name,
        description="The network that reads text, by its name, such as `korean`, or by the languages that "
        "it reads, such as `ru,en`. `auto`: Chinese, Japanese, English; with RapidOCR other languages in "
        "Latin letters too. Run `bucket-ocr models pull` after a change.",
    )
    layout: Annotated[Literal["auto", "none", "fast", "full"], _LOWER] = Field(
        default="auto",
        description="With RapidOCR: how blocks, tables and markdown are made. `none`: not at all. `fast`: "
        "by networks that come with it. `full`: by pymupdf-layout (AGPL or commercial), which must be "
        "installed. `auto`: `full` if it is installed, else `fast`.",
    )


class Settings(QueueSettings, EngineSettings, PageSettings, PartSettings):
    """All settings, each read from `BUCKET_OCR_<NAME>`; botocore reads credentials and region.

    docs/settings.md and .env.example are made from the fields, in the order of the classes: `make docs`.
    """

    engine_workers: _Count = Field(
        default=None,
        description="Engine processes. `auto`: one per processor, as memory allows. On GPUs, processes of "
        "each GPU; `auto`: one per 20 GB of free GPU memory (RapidOCR: 4 GB), minus one kept free for "
        "replacement.",
    )
    batch_pages: Annotated[_BatchPages | None, BeforeValidator(unless_auto)] = Field(
        default=None,
        description="Most pages given to an engine at once. `auto`: 1 on a CPU, 8 on a GPU.",
    )
    render_workers: _Count = Field(
        default=None, description="Rendering processes. `auto`: one per four processors, at least 2."
    )
    max_in_flight: _Count = Field(
        default=None,
        description="Most messages in flight. `auto`: twice the pages that the engines hold, at least 4.",
    )
    lease_s: int = Field(
        default=60,
        ge=_MIN_LEASE_S,
        le=_MAX_LEASE_S,
        description="Visibility timeout of a message in flight, in seconds. It is renewed every third of "
        "it while the work makes progress. After a crash the document waits this long.",
    )
    stall_s: float = Field(
        default=300.0,
        gt=0,
        le=_MAX_HOLD_S,
        description="Longest time in seconds in which no page of any document makes progress; then the "
        "work ends. At least `LEASE_S`.",
        # The engines know their own; `ProcessLayout` checks them.
        json_schema_extra={"values": "165 to 43,200 (PP-StructureV3: 300 to 43,200)"},
    )
    drain_s: float = Field(
        default=100.0,
        ge=0,
        le=_MAX_HOLD_S,
        description="Seconds to finish documents after SIGTERM; then the rest is released. Keep it more "
        "than ten seconds below the grace period of your platform. Below 8, a poll under way may still "
        "take 8 s.",
    )
    recycle_pages: int = Field(
        default=2000, ge=1, description="An engine process is replaced after so many pages."
    )
    recycle_rss_bytes: _Count = Field(
        default=None,
        description="An engine process is replaced before it holds this much memory. `auto`: half of the "
        "machine's, shared by all engines, at least 2 GiB each (PP-StructureV3: 6 GiB).",
    )
    work_dir: Path | None = Field(
        default=None,
        description="Folder for downloads, page images, and results above 1 MiB, best in memory (tmpfs). "
        "Space for one page of every document in flight is plenty; with less, documents wait for each "
        "other. Unset: a new folder in the system's temporary one.",
    )
    outputs: Annotated[frozenset[str], NoDecode, BeforeValidator(_outputs)] = Field(
        default=frozenset({RESULT}),
        description="Formats in which each document is written, a comma list: `json` (the result, always), "
        "`markdown`, `pdf` (searchable), `overlay` (pictures of pages with boxes), `hocr`, `alto`, `page`, "
        "`textract`, `csv`.",
    )
    words: bool = Field(
        default=False,
        description="Boxes and confidences of words, in the result and in other formats. A change makes "
        "results no longer current.",
    )
    sse: Annotated[Literal["AES256", "aws:kms", "aws:kms:dsse"] | None, BeforeValidator(_sse)] = Field(
        default=None,
        description="Server-side encryption that is asked for with all that is written. Unset: the bucket's.",
    )
    sse_kms_key_id: str | None = Field(
        default=None,
        description="Key of KMS for `SSE`: an id, an ARN or an alias. Unset: `aws:kms` means the key "
        "`aws/s3` of the account.",
    )
    completion_topic_arn: Annotated[str | None, AfterValidator(_topic)] = Field(
        default=None, description="SNS topic for a message per finished document. Unset: no messages."
    )
    health_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address of `/healthz`, `/readyz` and `/metrics`; `0.0.0.0`: all, which is the default "
        "in images.",
    )
    health_port: int = Field(
        default=8080,
        ge=0,
        le=65_535,
        description="Port of `/healthz`, `/readyz` and `/metrics`; 0 turns them off.",
    )
    idle_exit_s: float | None = Field(
        default=None,
        gt=0,
        description="Exit with status 0 after so many seconds without a message, for jobs. Unset: never.",
    )
    log_format: Annotated[Literal["auto", "json", "console"], _LOWER] = Field(
        default="auto", description="Form of log lines. `auto`: `console` on a terminal, else `json`."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _LOWER] = Field(
        default="info", description="The least severe log lines that are written."
    )

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
