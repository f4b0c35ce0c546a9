"""The consumer with another engine: `python scripted.py [--quick] ENGINE.py [ARGUMENT ...]`.

`build` of that file builds the handler of an engine process from the JSON of `ScriptedOptions`. `--quick`:
polls and pauses are short, and the lease may be shorter than the shortest that is allowed.
"""

import asyncio
import os
import sys
from pathlib import Path

from consumer import app, logs, protocol, settings
from consumer.domain.pauses import Pauses
from consumer.engines import ENGINES, EngineSpec

#: A poll must be shorter than a lease, which begins when the poll does.
QUICK = Pauses(poll_s=1, receive_s=0.5, breaker_s=1.0, backoff_s=1.0, host_failure_s=2, postpone_s=(1, 2))


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
        progress_deadline_s=60.0,
        options=lambda _settings, share, _scratch: ScriptedOptions(arguments=arguments, **share.model_dump()),
    )


def main() -> None:
    is_quick, lease_s = sys.argv[1] == "--quick", None
    if is_quick:
        lease_s = os.environ.pop(f"{settings.PREFIX}LEASE_S", None)
    path, *arguments = sys.argv[1 + is_quick :]
    # Engines of tests write journals.
    os.environ.setdefault(f"{settings.PREFIX}SANDBOX", "off")
    options = settings.load(settings.Settings)
    if lease_s is not None:
        options = options.model_copy(update={"lease_s": int(lease_s)})
    logs.configure(options.log_format, options.log_level)
    scripted = engine(Path(path), tuple(arguments))
    pauses = QUICK if is_quick else Pauses()
    asyncio.run(app.consume(options, ENGINES | {scripted.name: scripted}, pauses))


if __name__ == "__main__":
    main()
