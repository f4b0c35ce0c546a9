"""The distributions that ONNX Runtime needs on a GPU, as those that are installed name them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final, Self

#: ONNX Runtime for GPUs, and the one for processors, which has the same folder.
GPU_RUNTIME: Final = "onnxruntime-gpu"
CPU_RUNTIME: Final = "onnxruntime"

#: Its extras that bring NVIDIA's libraries.
_LIBRARIES: Final = re.compile(r"extra == ['\"](cuda|cudnn)['\"]")
_NAME: Final = re.compile(r"[\w.-]+")

#: The first version for CUDA 13; those before it are for CUDA 12 (the extras on PyPI; 1.27 names none that
#: exist).
_CUDA_13: Final = (1, 27)

#: Describes an installed distribution; raises PackageNotFoundError.
Find = Callable[[str], Distribution]


@dataclass(frozen=True, slots=True)
class GpuWheels:
    """What is installed. `version`: of ONNX Runtime for GPUs, None if it is missing.

    `is_shadowed`: the one for processors is installed in the same folder. `missing`: wheels with NVIDIA's
    libraries that this version names; they may be elsewhere on the machine.
    """

    version: str | None
    is_shadowed: bool
    missing: Sequence[str]

    @classmethod
    def here(cls, find: Find = distribution) -> Self:
        """Look at this environment."""
        runtime = installed(find, GPU_RUNTIME)
        named = [each for each in (runtime.requires or []) if _LIBRARIES.search(each)] if runtime else []
        names = [match.group() for each in named if (match := _NAME.match(each))]
        missing = tuple(name for name in names if installed(find, name) is None)
        version = runtime.version if runtime else None
        return cls(version, installed(find, CPU_RUNTIME) is not None, missing)

    @property
    def cuda(self) -> int:
        """The version of CUDA that ONNX Runtime was built for."""
        numbers = (self.version or "").split(".")[:2]
        return 13 if [int(number) for number in numbers if number.isdecimal()] >= [*_CUDA_13] else 12

    @property
    def remedy(self) -> str:
        """How to install what is missing."""
        if self.version is None:
            return "install onnxruntime-gpu instead, with the libraries of CUDA: infra/engines.md"
        if self.is_shadowed:
            return "pip uninstall onnxruntime, and install onnxruntime-gpu again: both have the same folder"
        libraries = f"pip install 'onnxruntime-gpu[cuda,cudnn]=={self.version}'"
        wheels = f" ({', '.join(self.missing)})" if self.missing else ""
        return f"{libraries}{wheels}, or name the folders of CUDA {self.cuda} and cuDNN 9 in LD_LIBRARY_PATH"


def installed(find: Find, name: str) -> Distribution | None:
    """Return the distribution of this name, if there is one."""
    try:
        return find(name)
    except PackageNotFoundError:
        return None
