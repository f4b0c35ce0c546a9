"""`python -m consumer.models list|pull|verify …`: what `bucket-ocr models` runs.

It becomes the process of the command, so its output and exit status are the command's: 0 done, 1 a model
failed, 2 settings, or something is not installed, 3 no source can be reached.
"""

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from consumer.domain.errors import SettingsError

_FAILED, _SETTINGS, _UNREACHABLE, _INTERRUPTED = 1, 2, 3, 130


def main() -> None:
    """Run the command of the arguments; an error is one line on standard error."""
    try:
        sys.exit(_run(_arguments()))
    except SettingsError as error:
        print(f"bucket-ocr: {error}", file=sys.stderr)
        sys.exit(_SETTINGS)
    except KeyboardInterrupt:
        print("bucket-ocr: interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["list", "pull", "verify"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pipeline-config")
    parser.add_argument("--engine-runtime")
    parser.add_argument("--device", required=True)
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    # The list needs no more than the configuration, which is YAML.
    needed = ("yaml",) if arguments.command == "list" else ("yaml", "paddlex", "paddleocr")
    if not all(map(find_spec, needed)):
        raise SettingsError("PP-StructureV3 is not installed: pip install 'bucket-ocr[pp-structurev3]'")
    from consumer.models.config import PipelineConfig

    config = PipelineConfig.load(arguments.pipeline_config, arguments.engine_runtime, arguments.device)
    match arguments.command:
        case "list":
            from consumer.models.manifest import facts

            # A reader that has seen enough, such as `head`, is no error.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            rows = [facts(model) for model in config.models]
            print(json.dumps(rows, indent=2, ensure_ascii=False)) if arguments.json else _print_table(rows)
            return 0
        case "pull":
            from consumer.models.pull import UnreachableError, pull

            errors = pull(config.models)
            is_offline = bool(errors) and all(isinstance(error, UnreachableError) for error in errors)
            return _UNREACHABLE if is_offline else _FAILED if errors else 0
        case _:
            from consumer.models.verify import verify

            return 0 if verify(config.models) else _FAILED


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        what = ": ".join(filter(None, [row["state"], ", ".join(row["faults"])]))
        size = f"{row['size_bytes'] / 1e6:.1f} MB" if row["size_bytes"] else "-"
        print(f"{row['role']:<16} {row['name']:<33} {size:>9}  {what:<7}  {row['folder']}")


if __name__ == "__main__":
    main()
