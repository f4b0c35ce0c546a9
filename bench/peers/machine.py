"""The processor of this machine, and what it may use of its instructions."""

import os
import platform
from pathlib import Path

_FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
_LIMIT = "ONEDNN_MAX_CPU_ISA"


def limit_instructions() -> None:
    """Have the limit of oneDNN, if there is one, hold for rapidocrlite, which has a switch of its own.

    ONNX Runtime has none: it takes what the processor says (CPUID).
    """
    if "AVX2" in os.environ.get(_LIMIT, ""):
        os.environ["PPOCR_DISABLE_AVX512"] = "1"


def instructions() -> str:
    """Say what limits the instructions."""
    limit = os.environ.get(_LIMIT)
    if limit is None:
        return "all instructions"
    return (
        f"{limit} alone for OpenVINO and rapidocrlite (`{_LIMIT}={limit}`), all instructions for the others"
    )


def machine() -> str:
    """Describe the machine: processor, cores, memory, load."""
    facts = dict(_facts("/proc/cpuinfo"))
    flags = facts.get("flags", "").split()
    memory_kib = int(dict(_facts("/proc/meminfo"))["MemTotal"].split()[0])
    described = f"{facts.get('model name', platform.machine())}, {len(os.sched_getaffinity(0))} processors"
    known = ", ".join(flag for flag in _FLAGS if flag in flags) or "none of AVX2, AVX-512, AMX"
    return (
        f"{described} ({known}), {memory_kib / 2**20:.0f} GiB; load {os.getloadavg()[1]:.1f}"
        " in the five minutes before the run."
    )


def _facts(path: str) -> list[tuple[str, str]]:
    lines = (line.partition(":") for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [(name.strip(), value.strip()) for name, _, value in lines]
