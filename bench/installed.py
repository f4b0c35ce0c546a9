"""Environments of what is measured: each is installed from its lock file when it is first needed."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_UV = Path(sys.executable).with_name("uv")


class NotRunError(Exception):
    """A contender cannot run here; the message says why, and what to install."""


def python_of(lock: Path) -> Path:
    """Give the interpreter of the environment of this lock file, beside it.

    It is installed now unless the lock is unchanged. Raises NotRunError.
    """
    venv = lock.with_name(f".venv-{lock.stem}")
    python, stamp = venv / "bin" / "python", venv / ".installed"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        _run("venv", "--allow-existing", "--python", sys.executable, venv)
        _run("pip", "install", "--compile-bytecode", "--python", python, "-r", lock)
        shutil.copyfile(lock, stamp)
    return python


def _run(*arguments: object) -> None:
    ended = subprocess.run(
        [_UV, "--quiet", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise NotRunError(f"cannot be installed: {(ended.stderr.strip().splitlines() or ['no reason'])[-1]}")


def command(name: str, package: str) -> Path:
    """Give the path of a program of the system. Raises NotRunError."""
    found = shutil.which(name)
    if found is None:
        raise NotRunError(f"{name} is not installed (Debian: apt-get install {package})")
    return Path(found)


def versions_of(python: Path, *packages: str) -> dict[str, str]:
    """Versions of distributions in an environment."""
    code = "import sys; from importlib.metadata import version as v; print(*map(v, sys.argv[1:]))"
    printed = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, printed.stdout.split(), strict=True))
