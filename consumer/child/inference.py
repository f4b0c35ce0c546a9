"""Runs networks by OpenVINO on the processor."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import openvino
from openvino import Tensor

#: OpenVINO keeps a kernel for each layer and shape that it has seen: at most so many for each network, about
#: those of five shapes. To make them anew takes 2 ms, because oneDNN keeps some as well (measured).
_KEPT: Final = "CPU_RUNTIME_CACHE_CAPACITY"
_MOST_KEPT: Final = 300

Floats = npt.NDArray[np.float32]

#: Mean and deviation of the colours of ImageNet, 0 to 1, by which networks expect pixels to be normalised.
IMAGENET_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32)


def core_of(threads: int) -> Any:
    """Return an OpenVINO core whose networks use so many threads."""
    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, _KEPT: _MOST_KEPT})
    return core


def run(request: Any, values: npt.NDArray[Any]) -> Floats:
    """Run a network with one input, and return its first output, which the next run overwrites."""
    infer(request, values)
    return np.asarray(request.get_output_tensor(0).data, np.float32)


def infer(request: Any, values: npt.NDArray[Any]) -> None:
    """Run a network with one input."""
    # The request does not keep the array: this variable does until the network has run.
    pixels = np.ascontiguousarray(values)
    request.set_input_tensor(Tensor(pixels, shared_memory=True))
    request.infer()
