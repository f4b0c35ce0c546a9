"""What the doctor says of the wheels with which an engine uses a GPU."""

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from consumer.doctor.checks import Finding, Level
from consumer.engines import EngineSpec
from consumer.models.config import GPU_HINT
from consumer.models.gpu_wheels import GPU_RUNTIME, Find, GpuWheels, installed
from consumer.processes.gpus import DRIVER

_CHECK: Final = "gpu"

_PADDLE: Final = "paddlepaddle-gpu"


def wheels(
    engine: EngineSpec, device: str, *, on_gpu: bool, find: Find = distribution, driver: Path = DRIVER
) -> Iterator[Finding]:
    """Yield what is said of the wheels for GPUs. `device`: the setting; `on_gpu`: whether it means a GPU."""
    if engine.gpu_package is None:
        if on_gpu:
            yield _of_runtimes(engine, find)
        return
    there = GpuWheels.here(find)
    subject = f"{GPU_RUNTIME} {there.version}"
    if on_gpu and there.is_shadowed:
        message = "is installed beside onnxruntime, which has the same folder"
        yield Finding(_CHECK, Level.FAULT, subject, message, there.remedy)
    elif on_gpu and there.missing:
        message = f"names wheels for CUDA {there.cuda} that are not installed: {', '.join(there.missing)}"
        yield Finding(_CHECK, Level.WARNING, subject, message, there.remedy)
    elif on_gpu:
        yield Finding(_CHECK, Level.OK, subject, f"has its wheels for CUDA {there.cuda}")
    elif device == "auto" and there.version is None and driver.exists():
        message = f"is loaded, and {engine.name} reads on processors, because {GPU_RUNTIME} is not installed"
        remedy = f"pip install '.[{engine.name}-gpu]' in the source tree, or set BUCKET_OCR_DEVICE=cpu"
        yield Finding(_CHECK, Level.WARNING, "NVIDIA's driver", message, remedy)


def _of_runtimes(engine: EngineSpec, find: Find) -> Finding:
    """An engine that runs its networks with any of these finds out by itself which it needs."""
    found = [each for name in (_PADDLE, GPU_RUNTIME) if (each := installed(find, name))]
    if found:
        names = ", ".join(f"{each.name} {each.version}" for each in found)
        return Finding(_CHECK, Level.OK, engine.name, f"can run its networks on a GPU with {names}")
    message = f"has no runtime for GPUs: neither {_PADDLE} nor {GPU_RUNTIME} is installed"
    return Finding(_CHECK, Level.FAULT, engine.name, message, GPU_HINT)
