#!/usr/bin/env bash
# Guess: importing ONNX Runtime from PyPI on Linux writes nothing; telemetry is a matter of its builds for Windows.
#
# Found (onnxruntime 1.32.0, CPU wheel for Linux): the import alone, before any session, writes an identifier of the
#   device and a database of events under the user's cache folder. disable_telemetry_events(), called right after the
#   import, comes too late for both. The variable ORT_DISABLE_TELEMETRY=1, set before the import, prevents both.
#   Where the folder cannot be written (read-only root, sandbox), a warning goes to standard error instead.
#
# Hurts: operators whose policy allows no identifiers or no traffic to third parties; containers with a read-only
#   root, whose error logs are to be empty; images that are built by importing the library, in which all containers
#   then have one identifier.
#
# Output seen:
#   onnxruntime 1.32.0
#   plain                      deviceid onnxruntime.db
#   disabled after the import  deviceid onnxruntime.db
#   ORT_DISABLE_TELEMETRY=1    -
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q onnxruntime==1.32.0
venv/bin/python - <<'PY'
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

IMPORT = "import onnxruntime"
DISABLE = IMPORT + "; onnxruntime.disable_telemetry_events()"


def written(code, **variables):
    with tempfile.TemporaryDirectory() as home:
        env = {"PATH": os.environ["PATH"], "HOME": home, **variables}
        subprocess.run([sys.executable, "-c", code], env=env, check=True)
        return sorted(path.name for path in Path(home).rglob("*") if path.is_file())


print("onnxruntime", version("onnxruntime"))
found = {
    "plain": written(IMPORT),
    "disabled after the import": written(DISABLE),
    "ORT_DISABLE_TELEMETRY=1": written(IMPORT, ORT_DISABLE_TELEMETRY="1"),
}
for how, names in found.items():
    print(f"{how:<26} {' '.join(names) or '-'}")
assert "deviceid" in found["plain"]
assert "deviceid" in found["disabled after the import"]
assert not found["ORT_DISABLE_TELEMETRY=1"]
print("still so")
PY
