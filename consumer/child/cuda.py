"""ONNX Runtime on a GPU, or an error that says what is missing: never a processor in its place."""

import ctypes
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from consumer.domain.errors import SettingsError
from consumer.models.gpu_wheels import GpuWheels

PROVIDER: Final = "CUDAExecutionProvider"

_CUDNN: Final = "libcudnn.so.9"

#: It comes with the driver, in no wheel.
_LIBCUDA: Final = "libcuda.so"
DRIVER_REMEDY: Final = "check nvidia-smi, and that the driver is as new as CUDA"

#: Of its sessions.
OPTIONS: Final[Mapping[str, Any]] = {
    "device_id": 0,
    # Without it, memory doubles with every extension.
    "arena_extend_strategy": "kSameAsRequested",
    # The default tries every algorithm for each new shape.
    "cudnn_conv_algo_search": "HEURISTIC",
}


def choose_gpu(cuda_name: str) -> None:
    """Let this process see one GPU only; before anything uses CUDA."""
    # CUDA numbers the fastest GPU first; NVML, with which the parent chose one, does not.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = cuda_name


def load_libraries(runtime: Any, wheels: GpuWheels, load: Callable[..., object] = ctypes.CDLL) -> None:
    """Load the libraries of CUDA; raises SettingsError if the installed ONNX Runtime cannot use them.

    `runtime`: the module. `load`: loads a shared object; raises OSError. Libraries in NVIDIA's wheels are
    found wherever Python is, others by the system's loader.
    """
    if PROVIDER not in runtime.get_available_providers():
        raise SettingsError(f"ONNX Runtime is installed without CUDA: {wheels.remedy}")
    runtime.preload_dlls()
    folder = Path(runtime.__file__).parent / "capi"
    try:
        load(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        load(str(folder / "libonnxruntime_providers_cuda.so"))
        # The provider asks for it when it needs it, which is after the check.
        load(_CUDNN)
    except OSError as error:
        remedy = DRIVER_REMEDY if _LIBCUDA in str(error) else wheels.remedy
        raise SettingsError(f"ONNX Runtime cannot load CUDA ({error}): {remedy}") from error


def require_gpu(providers: Collection[str]) -> None:
    """Raise SettingsError unless CUDA is the first choice of every network: `providers`."""
    if others := set(providers) - {PROVIDER}:
        raise SettingsError(
            f"ONNX Runtime cannot use the GPU, only {', '.join(sorted(others))}: {DRIVER_REMEDY}"
        )
