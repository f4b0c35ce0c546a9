"""`make demo`: a local cloud, a consumer, two uploads with the plain AWS client, and what was read.

Leaves `build/demo/`: the results, their markdown, an image of each first page with the boxes of its lines,
blocks and cells of tables, and the logs.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pymupdf
import rich.table
from botocore.exceptions import ClientError
from local_cloud import LocalCloud
from PIL import Image
from rich.console import Console
from rich.markup import escape

from consumer.child.overlay import overlay
from consumer.domain.result import Detection, Page, PageResult

_PROJECT: Final = Path(__file__).resolve().parent.parent
_SAMPLES: Final = [_PROJECT / "tests/samples/letter.pdf", _PROJECT / "tests/samples/scan.png"]
_OUT: Final = _PROJECT / "build/demo"
_BIN: Final = Path(sys.executable).parent
_DEADLINE_S: Final = 180.0

console = Console(highlight=False)


def main() -> None:
    """Run the demonstration; raises SystemExit with a message if a step fails."""
    # Stopped like by Ctrl-C: everything that was started is stopped first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _OUT.mkdir(parents=True, exist_ok=True)
    console.print("[bold]1.[/] LocalStack: S3 and SQS on this machine, and the stack infra/storage.yaml")
    with LocalCloud(log_file=_OUT / "localstack.log") as cloud:
        stack = cloud.deploy()
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AWS_", "BUCKET_OCR_"))
            },
            **cloud.environment(),
            "BUCKET_OCR_HEALTH_PORT": "0",
            "BUCKET_OCR_QUEUE_URL": stack.queue_url,
        }
        console.print("[bold]2.[/] the consumer: bucket-ocr run")
        with _consumer(environment):
            for sample in _SAMPLES:
                is_first = sample == _SAMPLES[0]
                command = ["aws", "s3", "cp", str(sample.relative_to(_PROJECT)), f"s3://{stack.bucket}/"]
                console.print(f"{_number(3, is_first=is_first)} {shlex.join(command)}", soft_wrap=True)
                command[0] = str(_BIN / "aws")
                subprocess.run([*command, "--quiet"], env=environment, cwd=_PROJECT, check=True)
            for sample in _SAMPLES:
                is_first = sample == _SAMPLES[0]
                _show(sample, _result(cloud, stack.bucket, sample.name), is_first=is_first)


def _number(step: int, *, is_first: bool) -> str:
    """The step's number, before the first of its files only."""
    return f"[bold]{step}.[/]" if is_first else "  "


@contextmanager
def _consumer(environment: dict[str, str]) -> Iterator[None]:
    log_file = _OUT / "consumer.log"
    with log_file.open("wb") as log:
        command = [str(_BIN / "bucket-ocr"), "run"]
        # In a folder without a .env of the user's.
        consumer = subprocess.Popen(command, env=environment, cwd=_OUT, stdout=log, stderr=log)
    try:
        yield
        if consumer.poll() is not None:
            sys.exit(f"the consumer ended by itself: see {log_file}")
    finally:
        consumer.send_signal(signal.SIGTERM)
        consumer.wait()


def _result(cloud: LocalCloud, bucket: str, name: str) -> dict[str, Any]:
    """Wait for the result next to the source and keep a copy of it."""
    s3 = cloud.client("s3")
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        try:
            body = s3.get_object(Bucket=bucket, Key=f"{name}.ocr.json")["Body"].read()
        except ClientError:
            time.sleep(0.2)
            continue
        (_OUT / f"{name}.ocr.json").write_bytes(body)
        result: dict[str, Any] = json.loads(body)
        return result
    sys.exit(f"no result of {name} after {_DEADLINE_S:.0f} s: see {_OUT / 'consumer.log'}")


def _show(sample: Path, result: dict[str, Any], *, is_first: bool) -> None:
    number = _number(4, is_first=is_first)
    console.print(
        f"{number} {sample.name}: {result['status']}; confidence, box in pixels, text:", soft_wrap=True
    )
    for line in result["detections"]:
        corners = " ".join(f"{x},{y}" for x, y in line["box"])
        console.print(f"{line['confidence']:.3f}  {corners:<39}  {escape(line['text'])}", soft_wrap=True)
    for table in (table for page in result["pages"] for table in page["tables"]):
        console.print(_printed(table["html"]))
    (_OUT / f"{sample.name}.md").write_text("\n\n".join(page["markdown"] for page in result["pages"]) + "\n")
    image = _OUT / f"{sample.name}.boxes.png"
    _first_page(sample, result).save(image)
    timing = result["timing"]
    console.print(
        f"{len(result['detections'])} lines in {timing['engine_s']:.1f} s of engine time; "
        f"lines, blocks and cells over the page: {image.relative_to(_PROJECT)}\n",
        soft_wrap=True,
    )


class _Rows(HTMLParser):
    """The rows of a table in HTML; a cell over several columns leaves those after its first one empty."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._columns = 1
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append("")
            self._columns = int(dict(attrs).get("colspan") or 1)

    def handle_data(self, data: str) -> None:
        self.rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.rows[-1] += [""] * (self._columns - 1)


def _printed(html: str) -> rich.table.Table:
    """A table as the terminal shows it."""
    printed = rich.table.Table(show_header=False, show_lines=True)
    for row in _Rows(html).rows:
        printed.add_row(*map(escape, row))
    return printed


def _first_page(sample: Path, result: dict[str, Any]) -> Image.Image:
    """The first page as it was rendered, with the boxes of its lines and their order."""
    page = Page.model_validate(result["pages"][0])
    lines = (Detection.model_validate(line) for line in result["detections"])
    on_page = PageResult(page=page, detections=tuple(line for line in lines if line.page_number == 1))
    if sample.suffix == ".pdf":
        with pymupdf.open(sample) as document:
            pixels = document[0].get_pixmap(matrix=pymupdf.Matrix(page.scale, page.scale))
        return overlay(Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples), on_page)
    with Image.open(sample) as image:
        return overlay(image, on_page)


if __name__ == "__main__":
    main()
