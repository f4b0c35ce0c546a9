"""The consumer with another engine: `python scripted.py ENGINE.py [ARGUMENT ...]`, for `bucket-ocr run`.

`build` of that file builds the handler of an engine process from the JSON of `ScriptedOptions`.
"""

import asyncio
import os
import sys
from pathlib import Path

from consumer import app, logs, protocol, settings
from consumer.engines import ENGINES, EngineSpec


class ScriptedOptions(protocol.EngineOptions):
    """Options of the engine, with its arguments."""

    arguments: tuple[str, ...]


def engine(path: Path, arguments: tuple[str, ...]) -> EngineSpec:
    """Describe the engine in this file, and let child processes import it."""
    folders = (str(path.parent), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    return EngineSpec(
        name="scripted",
        entry=f"{path.stem}:build",
        package="consumer",
        remedy="",
        resident_bytes=2 * 1024**3,
        page_deadline_s=60.0,
        options=lambda _settings, share, _scratch: ScriptedOptions(arguments=arguments, **share.model_dump()),
    )


def main() -> None:
    path, *arguments = sys.argv[1:]
    options = settings.load(settings.Settings)
    logs.configure(options.log_format, options.log_level)
    scripted = engine(Path(path), tuple(arguments))
    asyncio.run(app.consume(options, ENGINES | {scripted.name: scripted}))


if __name__ == "__main__":
    main()
