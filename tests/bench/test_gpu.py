"""The measurement of a GPU, and the pack that brings it there, as far as a processor can run them."""

import ensurepip
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from local_cloud import LocalCloud

from bench.gpu import agreement, pack, report
from bench.gpu.agreement import Agreement
from consumer.domain.result import Detection
from tests.fakes import page_image

ROOT = Path(__file__).parents[2]
GPU = ROOT / "bench" / "gpu"
HERE = "{}.{}".format(*sys.version_info[:2])
DEADLINE_S = 600.0

#: A wheel with a module that says that it has arrived.
CARRIED = {
    "carried.py": "ARRIVED = True\n",
    "carried-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n",
    "carried-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "carried-1.0.dist-info/RECORD": "",
}


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        env=os.environ | {"PYTHON": sys.executable} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def write_wheel(path: Path, files: Mapping[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """A pack of one wheel, in pieces of a megabyte; pip is that of this Python."""
    content = tmp_path / "content"
    wheels = content / "wheels"
    wheels.mkdir(parents=True)
    bundled = next(Path(str(ensurepip.__file__)).parent.glob("_bundled/pip-*.whl"))
    shutil.copy(bundled, wheels)
    write_wheel(wheels / "carried-1.0-py3-none-any.whl", CARRIED)
    pieces = tmp_path / "pieces"
    assert pack.cut(content, pieces, HERE, 1_000_000) > 1
    return pieces


def test_pieces_that_come_one_by_one_make_an_environment_without_a_network(
    pieces: Path, tmp_path: Path
) -> None:
    machine, carried = tmp_path / "machine", tmp_path / "carried"
    for piece in sorted(pieces.iterdir()):
        assert not (machine / "venv").exists()
        shutil.copytree(piece, carried / piece.name)
        said = run(GPU / "unpack.sh", carried, machine)
        assert said.returncode == 0, said.stderr
        shutil.rmtree(carried)
    check = "import carried, sys; sys.exit(not carried.ARRIVED)"
    assert run(machine / "venv" / "bin" / "python", "-c", check).returncode == 0
    assert (machine / "program" / "bench" / "gpu" / "run.sh").is_file()


def test_a_damaged_piece_is_an_error(pieces: Path, tmp_path: Path) -> None:
    part = pieces / "02" / "02.part"
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    said = run(GPU / "unpack.sh", pieces, tmp_path / "machine")
    assert (said.returncode, "these pieces are damaged" in said.stderr) == (1, True)
    assert not (tmp_path / "machine" / "venv").exists()


def test_pieces_of_several_packs_are_an_error(pieces: Path, tmp_path: Path) -> None:
    kept = tmp_path / "gpu" / "pieces"
    kept.mkdir(parents=True)
    for number in range(90, 99):
        (kept / f"{number}.part").write_bytes(b"of a longer pack")
    done = run(GPU / "unpack.sh", pieces, tmp_path / "gpu")
    assert (done.returncode, "of several packs" in done.stderr) == (1, True)


def test_a_pack_replaces_nothing_but_a_pack(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(ValueError, match="has other things"):
        pack.cut(tmp_path / "made", tmp_path)
    assert (tmp_path / "letters").is_dir()


def test_another_python_than_that_of_the_wheels_is_an_error(pieces: Path, tmp_path: Path) -> None:
    for piece in pieces.iterdir():
        (piece / "PYTHON").write_text("3.99\n")
    said = run(GPU / "unpack.sh", pieces, tmp_path / "machine")
    assert said.returncode == 1
    assert "the wheels are for Python 3.99" in said.stderr


def test_the_pack_has_what_both_engines_need_but_no_libraries_of_cuda() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = pack.needed(project)
    assert {"rapidocr[rtl]>=3.10,<4", "onnxruntime-gpu>=1.23", "openvino>=2026.2"} <= set(needed)
    assert not [each for each in needed if "cuda" in each]


def line(text: str, x: float, y: float) -> Detection:
    box = [(x, y), (x + 50, y), (x + 50, y + 10), (x, y + 10)]
    return Detection.model_validate({"text": text, "box": box, "confidence": 0.9, "page_number": 1})


def test_lines_agree_if_the_nearest_of_the_same_text_is_in_place() -> None:
    page = page_image(1, Path("1.bgr")).result([])
    found = page.model_copy(update={"detections": (line("b", 0, 99), line("a", 99, 0), line("a", 1, 1))})
    expected = page.model_copy(update={"detections": (line("a", 0, 0), line("b", 0, 90), line("c", 0, 0))})
    pairs = agreement.pairs(expected, found)
    assert [(one.text, agreement.apart_px(one, other)) for one, other in pairs] == [("a", 1.0), ("b", 9.0)]


@pytest.mark.parametrize(
    ("found", "is_good"),
    [
        (Agreement(100, 99, 2.0), True),
        (Agreement(100, 98, 0.0), False),
        (Agreement(100, 100, 2.1), False),
        (Agreement(0, 0, 0.0), False),
    ],
)
def test_a_device_that_reads_something_else_is_not_measured(found: Agreement, is_good: bool) -> None:
    assert found.is_good is is_good


def test_what_was_not_measured_is_in_the_table_with_its_reason() -> None:
    head, _, row = report.table([report.not_measured("structure", "no time was left")]).splitlines()
    assert "structure: not measured, no time was left" in row
    assert row.count("|") == head.count("|")


def check_report(printed: str) -> None:
    """The device agrees with itself, and there is a number of pages a second for all that was measured."""
    assert "boxes at most 0.00 px apart" in printed
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in printed.splitlines() if "|" in row]
    measured = {row[0]: float(row[4]) for row in rows[2:] if "not measured" not in row[0]}
    assert {"text only", "whole consumer, text only, cpu"} <= set(measured)
    assert all(pages_per_s > 0 for pages_per_s in measured.values())


def test_the_measurement_runs_on_a_processor(tmp_path: Path, cloud: LocalCloud) -> None:
    """In the environment of these tests, which stands in for one that was unpacked."""
    (tmp_path / "venv").symlink_to(sys.prefix)
    (tmp_path / "program").symlink_to(ROOT)
    storage = {"AWS_ENDPOINT_URL": cloud.endpoint_url}
    said = run(GPU / "run.sh", tmp_path, "--device", "cpu", "--small", **storage)
    assert said.returncode == 0, said.stderr
    check_report(said.stdout)


@pytest.fixture
def python312() -> str:
    """A Python 3.12 of this machine."""
    pyenv = subprocess.run(["sh", "-c", "pyenv prefix 3.12"], capture_output=True, text=True, check=False)
    folders = [*os.get_exec_path(), f"{pyenv.stdout.strip()}/bin"]
    named = [os.environ.get("PYTHON312", ""), *(f"{folder}/python3.12" for folder in folders)]
    # A shim may be there without a Python behind it.
    works = [name for name in named if os.access(name, os.X_OK) and run(name, "-c", "").returncode == 0]
    if not works:
        pytest.skip("there is no Python 3.12: set PYTHON312")
    return works[0]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_whole_pack_is_made_unpacked_and_run_with_python_3_12(python312: str, tmp_path: Path) -> None:
    pieces, machine = tmp_path / "pieces", tmp_path / "machine"
    uv = Path(sys.executable).with_name("uv")
    made = run(sys.executable, GPU / "pack.py", "--uv", uv, "--python", python312, pieces)
    assert made.returncode == 0, made.stderr
    assert all(part.stat().st_size <= 60_000_000 for part in pieces.glob("*/*.part"))
    unpacked = run(GPU / "unpack.sh", pieces, machine, PYTHON=python312)
    assert unpacked.returncode == 0, unpacked.stderr
    program = machine / "program" / "bench" / "gpu" / "run.sh"
    said = run(program, machine, "--device", "cpu", "--small", PYTHON=python312)
    assert said.returncode == 0, said.stderr
    check_report(said.stdout)
    assert "| structure | 1 |" in said.stdout
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (machine / "wheels").iterdir()}
    named = (machine / "requirements.txt").read_text().split()
    assert {f"--hash=sha256:{each}" for each in hashes} == {each for each in named if each.startswith("--")}
