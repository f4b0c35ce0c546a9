"""The GPUs that this process and its children may use."""

import os
from collections.abc import Mapping
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple

from consumer.domain.errors import SettingsError

_REMEDY: Final = (
    "install the NVIDIA driver (in a container: the NVIDIA container toolkit, and the driver capabilities "
    "compute and utility) and onnxruntime-gpu or paddlepaddle-gpu (infra/engines.md), or set "
    "BUCKET_OCR_DEVICE=cpu"
)

#: It is there if NVIDIA's driver is loaded.
DRIVER: Final = Path("/proc/driver/nvidia/version")


class Gpu(NamedTuple):
    """A GPU; `number`: among those that we may use; `cuda_name`: its name in CUDA_VISIBLE_DEVICES."""

    number: int
    cuda_name: str
    free_bytes: int
    total_bytes: int

    @property
    def device(self) -> str:
        """Its name in settings and results."""
        return f"gpu:{self.number}"


def chosen(
    device: str, nvml: Any = None, environment: Mapping[str, str] = os.environ, driver: Path = DRIVER
) -> tuple[Gpu, ...]:
    """The GPUs that the setting DEVICE selects: none for `cpu`, nor for `auto` on a host without GPUs.

    `nvml`: NVIDIA's management library; None for the one that is installed. `driver`: there if the host has
    GPUs. Raises SettingsError if a
    selected GPU is missing, or if GPUs, or their driver, cannot be used.
    """
    if device == "cpu":
        return ()
    try:
        visible = _visible(nvml, environment, driver)
    except _NoGpuError as error:
        if device == "auto" and error.is_absent:
            return ()
        raise SettingsError(f"BUCKET_OCR_DEVICE={device}: there is no GPU ({error}): {_REMEDY}") from error
    _, _, numbers = device.partition(":")
    if not numbers:
        return visible
    wanted = sorted({int(number) for number in numbers.split(",")})
    if missing := [number for number in wanted if number >= len(visible)]:
        raise SettingsError(
            f"BUCKET_OCR_DEVICE={device}: there is no gpu:{missing[0]}; "
            f"there are {len(visible)}, from gpu:0 on"
        )
    return tuple(visible[number] for number in wanted)


class _NoGpuError(Exception):
    """No GPU can be used. `is_absent`: the host has none; otherwise something is broken."""

    def __init__(self, reason: str, *, is_absent: bool) -> None:
        super().__init__(reason)
        self.is_absent = is_absent


def _visible(nvml: Any, environment: Mapping[str, str], driver: Path) -> tuple[Gpu, ...]:
    if nvml is None:
        try:
            nvml = import_module("pynvml")
        except ImportError as error:
            raise _NoGpuError("nvidia-ml-py is not installed", is_absent=not driver.exists()) from error
    try:
        nvml.nvmlInit()
        try:
            gpus = [_gpu(nvml, number, name) for number, name in enumerate(_names(nvml, environment))]
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        # NVML raises these without a driver, and others with a driver that does not work.
        absent = (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded)
        raise _NoGpuError(str(error), is_absent=isinstance(error, absent)) from error
    if not gpus:
        raise _NoGpuError("none is visible", is_absent=True)
    return tuple(gpus)


def _names(nvml: Any, environment: Mapping[str, str]) -> list[str]:
    """Numbers, or their names in CUDA_VISIBLE_DEVICES."""
    if (allowed := environment.get("CUDA_VISIBLE_DEVICES")) is None:
        return [str(number) for number in range(nvml.nvmlDeviceGetCount())]
    # CUDA ignores all names after an invalid one.
    return list(takewhile(lambda name: name not in {"", "-1"}, map(str.strip, allowed.split(","))))


def _gpu(nvml: Any, number: int, cuda_name: str) -> Gpu:
    if cuda_name.isdecimal():
        handle = nvml.nvmlDeviceGetHandleByIndex(int(cuda_name))
    else:
        handle = nvml.nvmlDeviceGetHandleByUUID(cuda_name)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(number, cuda_name, int(memory.free), int(memory.total))
