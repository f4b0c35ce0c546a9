"""What runs the networks of the embedded engine: OpenVINO, page by page; or ONNX Runtime, pages at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from consumer import protocol
from consumer.child.rapidocr.networks import Networks

Progress = Callable[[], None]

_Result = TypeVar("_Result")


class Each(Protocol):
    """Does the work of several pages, and returns the results in order."""

    def __call__(self, work: Sequence[Callable[[Progress], _Result]], progress: Progress) -> list[_Result]:
        """Work gets a function that tells of its progress; `progress` is called from this thread only."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """Networks, and how pages are read with them."""

    networks: Networks
    each: Each


def runtime_of(options: protocol.RapidOcrOptions, recognition: Path) -> Runtime:
    """Load the networks; `recognition`: file of the recogniser.

    Raises SettingsError if a GPU cannot be used.
    """
    if options.runtime == "openvino":
        from consumer.child.rapidocr.openvino_networks import OpenVinoNetworks

        return Runtime(OpenVinoNetworks(options.threads, recognition), _in_turn)
    if options.device != "cpu":
        _prepare_gpu(options)
    from consumer.child.cuda import require_gpu
    from consumer.child.rapidocr.batched_networks import BatchedNetworks, batcher_of
    from consumer.child.rapidocr.onnx_networks import Device, OnnxNetworks

    device = Device(options.device != "cpu", options.threads, options.device_bytes)
    networks = OnnxNetworks(device, recognition)
    if device.on_gpu:
        require_gpu(networks.providers)
    batcher = batcher_of(networks, options.batch_pages)
    return Runtime(BatchedNetworks(networks, batcher), batcher.each)


def _prepare_gpu(options: protocol.RapidOcrOptions) -> None:
    from consumer.child import cuda
    from consumer.domain.errors import SettingsError
    from consumer.models.gpu_wheels import GpuWheels

    if options.cuda_name is not None:
        cuda.choose_gpu(options.cuda_name)
    wheels = GpuWheels.here()
    try:
        import onnx  # noqa: F401 - networks are changed by it before they are run
        import onnxruntime
    except ImportError as error:
        raise SettingsError(
            f"{error}: pip install '.[rapidocr,rapidocr-gpu]', see infra/engines.md"
        ) from error
    cuda.load_libraries(onnxruntime, wheels)


def _in_turn(work: Sequence[Callable[[Progress], _Result]], progress: Progress) -> list[_Result]:
    return [one(progress) for one in work]
