"""Which wheels a GPU needs, for CUDA 12 and 13, and what is said of one that is missing."""

from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution
from pathlib import Path

import pytest

from consumer.child.rapidocr.cuda import load_libraries, require_gpu
from consumer.domain.errors import SettingsError
from consumer.models.gpu_wheels import Find, GpuWheels

CUDA_12 = ('nvidia-cuda-runtime-cu12~=12.0; extra == "cuda"', 'nvidia-cudnn-cu12~=9.0; extra == "cudnn"')
CUDA_13 = ('nvidia-cuda-runtime~=13.0; extra == "cuda"', 'nvidia-cudnn-cu13~=9.0; extra == "cudnn"')


def environment(folder: Path, *names: str, version: str = "1.31.1", requires: tuple[str, ...] = ()) -> Find:
    """Distributions of these names; the first one has this version, and needs `requires` and NumPy."""
    for n, name in enumerate(names):
        info = folder / f"{name}.dist-info"
        info.mkdir()
        needs = ("numpy>=1", *requires) if not n else ()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in needs)]
        (info / "METADATA").write_text("\n".join(lines))

    def find(name: str) -> Distribution:
        if name not in names:
            raise PackageNotFoundError(name)
        return PathDistribution(folder / f"{name}.dist-info")

    return find


@pytest.mark.parametrize(
    ("version", "requires", "cuda", "missing"),
    [
        ("1.26.0", CUDA_12, 12, ("nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12")),
        ("1.31.1", CUDA_13, 13, ("nvidia-cuda-runtime", "nvidia-cudnn-cu13")),
    ],
)
def test_wheels_are_those_that_the_installed_version_names(
    tmp_path: Path, version: str, requires: tuple[str, ...], cuda: int, missing: tuple[str, ...]
) -> None:
    find = environment(tmp_path, "onnxruntime-gpu", version=version, requires=requires)
    wheels = GpuWheels.installed(find)
    assert (wheels.cuda, wheels.missing) == (cuda, missing)
    assert wheels.remedy.startswith(f"pip install 'onnxruntime-gpu[cuda,cudnn]=={version}' ({missing[0]}, ")
    assert f"CUDA {cuda}" in wheels.remedy


def test_wheels_that_are_installed_are_not_missing(tmp_path: Path) -> None:
    names = ("onnxruntime-gpu", "nvidia-cuda-runtime", "nvidia-cudnn-cu13")
    assert GpuWheels.installed(environment(tmp_path, *names, requires=CUDA_13)).missing == ()


class Runtime:
    """ONNX Runtime as it is installed on a machine without libraries of CUDA."""

    def __init__(self, folder: Path, *providers: str) -> None:
        self.__file__ = str(folder / "__init__.py")
        self._providers = providers

    def get_available_providers(self) -> list[str]:
        return list(self._providers)

    def preload_dlls(self) -> None:
        pass


def test_onnxruntime_for_processors_in_the_same_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    wheels = GpuWheels.installed(environment(tmp_path, "onnxruntime-gpu", "onnxruntime"))
    with pytest.raises(SettingsError, match="installed without CUDA: pip uninstall onnxruntime"):
        load_libraries(Runtime(tmp_path, "CPUExecutionProvider"), wheels)


def test_a_library_of_cuda_that_is_missing_is_an_error_that_names_its_wheels(tmp_path: Path) -> None:
    wheels = GpuWheels.installed(environment(tmp_path, "onnxruntime-gpu", requires=CUDA_13))
    runtime = Runtime(tmp_path, "CUDAExecutionProvider", "CPUExecutionProvider")
    named = r"cannot load CUDA \(.*cannot open shared object.*nvidia-cudnn-cu13"
    with pytest.raises(SettingsError, match=named):
        load_libraries(runtime, wheels)


def test_a_network_on_a_processor_is_an_error() -> None:
    require_gpu({"CUDAExecutionProvider"})
    with pytest.raises(
        SettingsError, match="cannot use the GPU, only CPUExecutionProvider: check nvidia-smi"
    ):
        require_gpu({"CUDAExecutionProvider", "CPUExecutionProvider"})
