"""The GPUs in use: all visible ones, or those that are named, and never silently none."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consumer.domain.errors import SettingsError
from consumer.processes.gpus import Gpu, chosen

FREE = {"0": 10, "1": 11, "2": 12, "GPU-b": 11}


class NVMLError(Exception):
    pass


class LibraryMissingError(NVMLError):
    pass


@dataclass
class Memory:
    free: int
    total: int = 80


@dataclass
class FakeNvml:
    """NVIDIA's management library on a machine with GPUs of so much free memory."""

    count: int = 3
    failure: NVMLError | None = None
    NVMLError: type[Exception] = field(default=NVMLError)
    NVMLError_LibraryNotFound: type[Exception] = field(default=LibraryMissingError)
    NVMLError_DriverNotLoaded: type[Exception] = field(default=LibraryMissingError)

    def nvmlInit(self) -> None:
        if self.failure:
            raise self.failure

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index >= self.count:
            raise NVMLError("Invalid Argument")
        return str(index)

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return name

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Memory:
        return Memory(FREE[handle])


def use(device: str, nvml: Any = None, **environment: str) -> tuple[Gpu, ...]:
    return chosen(device, nvml or FakeNvml(), environment)


@pytest.mark.parametrize(
    ("device", "numbers"),
    [("cpu", []), ("auto", [0, 1, 2]), ("gpu", [0, 1, 2]), ("gpu:1", [1]), ("gpu:2,0,2", [0, 2])],
)
def test_the_setting_selects_gpus(device: str, numbers: list[int]) -> None:
    assert [gpu.number for gpu in use(device)] == numbers


def test_gpus_have_their_names_in_settings_and_their_own_memory() -> None:
    assert [(gpu.device, gpu.free_bytes) for gpu in use("gpu:0,2")] == [("gpu:0", 10), ("gpu:2", 12)]


def test_gpus_hidden_from_cuda_do_not_count_and_numbers_follow_cuda() -> None:
    assert use("gpu", CUDA_VISIBLE_DEVICES="2,GPU-b") == (Gpu(0, "2", 12, 80), Gpu(1, "GPU-b", 11, 80))
    assert use("auto", CUDA_VISIBLE_DEVICES="") == ()
    with pytest.raises(SettingsError, match="there is no GPU"):
        use("gpu", CUDA_VISIBLE_DEVICES="-1")


def test_a_selected_gpu_that_is_missing_is_an_error_with_a_remedy() -> None:
    absent = FakeNvml(failure=LibraryMissingError("NVML Shared Library Not Found"))
    assert use("auto", absent) == ()
    with pytest.raises(SettingsError, match=r"BUCKET_OCR_DEVICE=gpu: .*Not Found.*install the NVIDIA driver"):
        use("gpu", absent)
    with pytest.raises(SettingsError, match=r"BUCKET_OCR_DEVICE=gpu:1,3: there is no gpu:3; there are 3"):
        use("gpu:1,3")
    with pytest.raises(SettingsError, match="Invalid Argument"):
        use("gpu:0", CUDA_VISIBLE_DEVICES="7")


def test_a_gpu_that_cannot_be_used_is_never_a_silent_cpu() -> None:
    with pytest.raises(SettingsError, match=r"DEVICE=auto: .*Driver/library version mismatch.*DEVICE=cpu"):
        use("auto", FakeNvml(failure=NVMLError("Driver/library version mismatch")))
    with pytest.raises(SettingsError, match=r"DEVICE=auto: .*Invalid Argument"):
        use("auto", CUDA_VISIBLE_DEVICES="7")


def test_without_nvml_a_host_with_a_driver_is_an_error_and_one_without_has_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    driver = tmp_path / "version"
    assert chosen("auto", environment={}, driver=driver) == ()
    driver.touch()
    with pytest.raises(SettingsError, match="nvidia-ml-py is not installed"):
        chosen("auto", environment={}, driver=driver)


def test_like_cuda_no_gpu_counts_after_an_invalid_name() -> None:
    assert [gpu.cuda_name for gpu in use("gpu", CUDA_VISIBLE_DEVICES="0,-1,1")] == ["0"]
