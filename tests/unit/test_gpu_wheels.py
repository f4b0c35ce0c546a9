"""Which wheels a GPU needs, for CUDA 12 and 13, and what is said of one that is missing."""

from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution
from pathlib import Path

import pytest

from consumer.child.cuda import load_libraries, require_gpu
from consumer.doctor import gpu
from consumer.doctor.checks import Level
from consumer.domain.errors import SettingsError
from consumer.engines import ENGINES
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
    wheels = GpuWheels.here(find)
    assert (wheels.cuda, wheels.missing) == (cuda, missing)
    assert wheels.remedy.startswith(f"pip install 'onnxruntime-gpu[cuda,cudnn]=={version}' ({missing[0]}, ")
    assert f"CUDA {cuda}" in wheels.remedy


def test_wheels_that_are_installed_are_not_missing(tmp_path: Path) -> None:
    names = ("onnxruntime-gpu", "nvidia-cuda-runtime", "nvidia-cudnn-cu13")
    assert GpuWheels.here(environment(tmp_path, *names, requires=CUDA_13)).missing == ()


def said(find: Find, driver: Path, device: str = "gpu", engine: str = "rapidocr") -> list[tuple[Level, str]]:
    on_gpu = device == "gpu"
    findings = gpu.wheels(ENGINES[engine], device, on_gpu=on_gpu, find=find, driver=driver)
    return [(finding.level, f"{finding.subject} {finding.message} {finding.remedy}") for finding in findings]


def test_the_doctor_names_the_wheels_that_a_gpu_needs(tmp_path: Path) -> None:
    find = environment(tmp_path, "onnxruntime-gpu", requires=CUDA_13)
    ((level, text),) = said(find, tmp_path)
    assert level is Level.WARNING
    assert "wheels for CUDA 13 that are not installed: nvidia-cuda-runtime, nvidia-cudnn-cu13" in text
    (tmp_path / "both").mkdir()
    ((level, text),) = said(environment(tmp_path / "both", "onnxruntime-gpu", "onnxruntime"), tmp_path)
    assert (level, "pip uninstall onnxruntime" in text) == (Level.FAULT, True)
    (tmp_path / "all").mkdir()
    ((level, _),) = said(environment(tmp_path / "all", "onnxruntime-gpu"), tmp_path)
    assert level is Level.OK


def test_the_doctor_tells_of_a_gpu_that_is_not_used_only_if_nobody_chose_a_processor(tmp_path: Path) -> None:
    none, driver = environment(tmp_path), tmp_path
    ((level, text),) = said(none, driver, "auto")
    assert (level, "pip install '.[rapidocr-gpu]'" in text) == (Level.WARNING, True)
    assert said(none, driver, "cpu") == said(none, tmp_path / "no driver", "auto") == []


def test_the_doctor_looks_for_a_runtime_of_pp_structurev3(tmp_path: Path) -> None:
    ((level, text),) = said(environment(tmp_path), tmp_path, engine="pp-structurev3")
    assert (level, "install paddlepaddle-gpu for the CUDA version" in text) == (Level.FAULT, True)
    found = environment(tmp_path, "paddlepaddle-gpu", version="3.2.2")
    assert said(found, tmp_path, engine="pp-structurev3") == [
        (Level.OK, "pp-structurev3 can run its networks on a GPU with paddlepaddle-gpu 3.2.2 ")
    ]
    assert said(found, tmp_path, "cpu", "pp-structurev3") == []


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
    wheels = GpuWheels.here(environment(tmp_path, "onnxruntime-gpu", "onnxruntime"))
    with pytest.raises(SettingsError, match="installed without CUDA: pip uninstall onnxruntime"):
        load_libraries(Runtime(tmp_path, "CPUExecutionProvider"), wheels)


def test_a_library_of_cuda_that_is_missing_is_an_error_that_names_its_wheels(tmp_path: Path) -> None:
    wheels = GpuWheels.here(environment(tmp_path, "onnxruntime-gpu", requires=CUDA_13))
    runtime = Runtime(tmp_path, "CUDAExecutionProvider", "CPUExecutionProvider")
    named = r"cannot load CUDA \(.*cannot open shared object.*nvidia-cudnn-cu13"
    with pytest.raises(SettingsError, match=named):
        load_libraries(runtime, wheels)


@pytest.mark.parametrize(
    ("missing", "remedy"), [("libcudnn.so.9", "nvidia-cudnn-cu13"), ("libcuda.so.1", "check nvidia-smi")]
)
def test_each_library_that_is_missing_has_its_own_remedy(tmp_path: Path, missing: str, remedy: str) -> None:
    wheels = GpuWheels.here(environment(tmp_path, "onnxruntime-gpu", requires=CUDA_13))
    runtime = Runtime(tmp_path, "CUDAExecutionProvider", "CPUExecutionProvider")

    def load(name: str, **_: object) -> None:
        if missing == name or (missing == "libcuda.so.1" and name.endswith("cuda.so")):
            raise OSError(f"{missing}: cannot open shared object file")

    with pytest.raises(SettingsError, match=f"{missing}.*{remedy}"):
        load_libraries(runtime, wheels, load)


def test_a_network_on_a_processor_is_an_error() -> None:
    require_gpu({"CUDAExecutionProvider"})
    with pytest.raises(
        SettingsError, match="cannot use the GPU, only CPUExecutionProvider: check nvidia-smi"
    ):
        require_gpu({"CUDAExecutionProvider", "CPUExecutionProvider"})
