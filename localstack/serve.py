"""Run by `local_cloud.py` with the interpreter of `localstack/.venv`: LocalStack, tied to its starter.

Arguments: the process id of the starter, and the directory for the objects of S3.
"""

import ctypes
import importlib
import os
import signal
import sys
import uuid
from typing import Any

_PR_SET_PDEATHSIG = 1


def _die_with(starter_pid: int) -> None:
    """Have the kernel kill this process when its starter dies, however that dies (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != starter_pid:  # it died before the call above
        sys.exit("the starter is gone")


def _take_bytes(uuid5: Any) -> Any:
    """Let `uuid.uuid5` take bytes for a name, as it does from Python 3.12 on; its value does not matter."""
    return lambda namespace, name: uuid5(namespace, name.hex() if isinstance(name, bytes) else name)


if __name__ == "__main__":
    _die_with(int(sys.argv[1]))
    # Without it LocalStack's KMS makes no keys on Python 3.11.
    uuid.uuid5 = _take_bytes(uuid.uuid5)
    # Fixed in LocalStack to a directory that all instances on a machine share, so that deleting a bucket
    # in one breaks the uploads of another.
    s3: Any = importlib.import_module("localstack.services.s3.provider")
    s3.DEFAULT_S3_TMP_DIR = sys.argv[2]
    importlib.import_module("localstack.runtime.main").main()
