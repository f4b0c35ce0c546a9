"""Limits of processors and memory, from files as the kernel writes them."""

from pathlib import Path

import pytest

from consumer.processes.host import cpu_quota, memory_bytes

Groups = tuple[Path, Path]


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    """A process in a service in a slice, as systemd makes them; no limits."""
    membership, hierarchy = tmp_path / "cgroup", tmp_path / "fs"
    membership.write_text("0::/system.slice/ocr.service\n")
    (hierarchy / "system.slice/ocr.service").mkdir(parents=True)
    for folder in ("system.slice", "system.slice/ocr.service"):
        (hierarchy / folder / "cpu.max").write_text("max 100000\n")
        (hierarchy / folder / "memory.max").write_text("max\n")
    return membership, hierarchy


def test_without_limits_there_are_none(groups: Groups, tmp_path: Path) -> None:
    assert cpu_quota(*groups) is None
    assert cpu_quota(tmp_path / "no", tmp_path / "no") is None
    assert memory_bytes(*groups) == memory_bytes(tmp_path / "no", tmp_path / "no") > 2**28


@pytest.mark.parametrize("folder", ["system.slice", "system.slice/ocr.service"])
def test_the_smallest_limit_of_all_groups_around_us_holds(groups: Groups, folder: str) -> None:
    (groups[1] / folder / "cpu.max").write_text("150000 100000\n")
    (groups[1] / folder / "memory.max").write_text(f"{2**27}\n")

    assert cpu_quota(*groups) == 2
    assert memory_bytes(*groups) == 2**27
