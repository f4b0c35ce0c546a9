"""`make docs`: write what is generated of the documents.

Each setting has one description, in `consumer/settings.py`. From there come the table of docs/settings.md and
all of .env.example. The picture of README.md is what `make demo` has drawn, made small.
"""

import re
import textwrap
from collections.abc import Iterator
from enum import EnumMeta
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from PIL import Image
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from consumer.settings import PREFIX, Settings, unless_auto

ROOT: Final = Path(__file__).parents[2]
SETTINGS: Final = ROOT / "docs/settings.md"
EXAMPLE: Final = ROOT / ".env.example"
PICTURE: Final = ROOT / "docs/boxes.webp"

#: What `make demo` draws, the part of it that has text, and the width on the page.
_DRAWN: Final = ROOT / "build/demo/scan.png.boxes.png"
_PART: Final = (110, 90, 1090, 1060)
WIDTH_PX: Final = 740

_BEGIN, _END = "<!-- settings: begin (make docs) -->\n", "<!-- settings: end -->\n"

_HEAD: Final = (
    "Settings of bucket-ocr, made by `make docs`. Copy to .env, which is read from the current folder, or "
    "set them in the environment, which has precedence. Only QUEUE_URL is required. The values after # are "
    "the defaults. Variables of AWS (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL, …) may stand here too."
)
#: A name or a value; commands keep their quotation marks.
_WORD: Final = re.compile(r"`([^` ]+)`")

#: The queue that `make local` makes.
_LOCAL_QUEUE: Final = "http://127.0.0.1:4566/queue/us-east-1/000000000000/bucket-ocr"


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings by name, in the order of the classes that `Settings` is made of."""
    for kind in (*Settings.__bases__, Settings):
        for name in kind.__annotations__:
            if name in Settings.model_fields:
                yield name, Settings.model_fields[name]


def default(field: FieldInfo) -> str:
    """The default as it would be written into the environment; empty if unset."""
    value = field.default
    if value is PydanticUndefined:
        return ""
    if value is None:
        return "auto" if _is_auto(field) else ""
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def values(field: FieldInfo) -> str:
    """The choices of a setting, or the range of a number; empty for any text.

    A field may tell its own, if they depend on another setting.
    """
    told = field.json_schema_extra
    if isinstance(told, dict) and "values" in told:
        return str(told["values"])
    choices = [value for each in _types(field.annotation) for value in _choices(each)]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = [each for each in _metadata(field) if isinstance(each, Ge | Gt | Le)]
    low = next((f"{each.ge:,}" for each in bounds if isinstance(each, Ge)), None)
    over = next((f"more than {each.gt:,}" for each in bounds if isinstance(each, Gt)), None)
    high = next((f"{each.le:,.0f}" for each in bounds if isinstance(each, Le)), None)
    lowest = low or over
    if lowest is None or high is None:
        return f"{low} or more" if low else over or ""
    return f"{low} to {high}" if low else f"{over}, at most {high}"


def table() -> str:
    """The table of docs/settings.md."""
    rows = ["| Setting | Default | Values | |", "|---|---|---|---|"]
    for name, field in fields():
        shown = "required" if field.is_required() else f"`{text}`" if (text := default(field)) else "unset"
        rows.append(f"| `{name.upper()}` | {shown} | {values(field)} | {field.description} |")
    return "\n".join(rows) + "\n"


def example() -> str:
    """All of .env.example."""
    paragraphs = [_comment(_HEAD)]
    for name, field in fields():
        choices = values(field)
        text = f"{field.description} Values: {choices}." if choices else field.description or ""
        told = _comment(_WORD.sub(r"\1", text))
        line = f"{PREFIX}{name.upper()}={_LOCAL_QUEUE if field.is_required() else default(field)}"
        paragraphs.append(f"{told}{'' if field.is_required() else '# '}{line}\n")
    return "\n".join(paragraphs)


def between(text: str) -> str:
    """What stands between the marks of the generated part."""
    return text.split(_BEGIN)[1].split(_END, maxsplit=1)[0]


def draw() -> None:
    """Make the picture of README.md from that of `make demo`."""
    with Image.open(_DRAWN) as drawn:
        part = drawn.convert("RGB").crop(_PART)
    size = (WIDTH_PX, WIDTH_PX * part.height // part.width)
    part.resize(size, Image.Resampling.LANCZOS).save(PICTURE, quality=82, method=6)


def main() -> None:
    """Write them all; the picture only if `make demo` has run."""
    text = SETTINGS.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    SETTINGS.write_text(f"{before}{_BEGIN}{table()}{_END}{after}", encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")
    if _DRAWN.exists():
        draw()


def _types(annotation: Any) -> Iterator[Any]:
    """The type itself, or the members of a union, without their annotations."""
    if get_origin(annotation) is Literal or not get_args(annotation):
        yield annotation
    else:
        for each in get_args(annotation):
            yield from _types(each)


def _choices(kind: Any) -> tuple[str, ...]:
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else ()


def _metadata(field: FieldInfo) -> Iterator[Any]:
    """Validators and limits of a field and of the members of its type."""
    found = [*field.metadata, field.annotation]
    while found:
        each = found.pop(0)
        if isinstance(each, FieldInfo):
            found += each.metadata
        elif hasattr(each, "__metadata__") or get_args(each):
            found += [*getattr(each, "__metadata__", ()), *get_args(each)]
        elif not isinstance(each, type | EnumMeta):
            yield each


def _is_auto(field: FieldInfo) -> bool:
    return any(isinstance(each, BeforeValidator) and each.func is unless_auto for each in _metadata(field))


def _comment(text: str) -> str:
    lines = textwrap.wrap(re.sub(r"\s+", " ", text), 117, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


if __name__ == "__main__":
    main()
