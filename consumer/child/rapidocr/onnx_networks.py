"""The networks of the embedded engine, run by ONNX Runtime: on a GPU by CUDA, or on processors.

The graphs get steps before and after them, so that pixels go to the device as bytes, and what comes back is
small: a text map as bytes, and of a line's 18,710 likelihoods at each place only those that decoding looks
at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from consumer.child import cuda
from consumer.child.rapidocr.networks import (
    DETECTION,
    DIRECTION,
    MIDDLE,
    RECOGNITION,
    Places,
    ell_of,
    with_blank_and_space,
)

#: What can be run: `LIKELY` is the recogniser with all its likelihoods.
TEXT_MAP: Final = "text map"
LINES: Final = "lines"
LIKELY: Final = "likelihoods"
PAGE: Final = "page"

#: Parts of a GPU's memory: each session has an arena of its own.
_DETECTION_PART, _RECOGNITION_PART, _DIRECTION_PART = 0.5, 0.4, 0.1

_PIXELS: Final = "pixels"
_MAP: Final = "text_map"
_PLACES: Final = ("best", "surest", "space", "ell")


@dataclass(frozen=True, slots=True)
class Device:
    """Where networks run.

    `threads`: on processors. `memory_bytes`: of the GPU that they may take; None: any.
    """

    on_gpu: bool
    threads: int
    memory_bytes: int | None = None


class OnnxNetworks:
    """Sessions of ONNX Runtime.

    `recognition`: file of a recogniser of PP-OCR, which holds its characters too.
    """

    def __init__(self, device: Device, recognition: Path = RECOGNITION) -> None:
        reader = onnx.load(recognition)
        metadata = {each.key: each.value for each in reader.metadata_props}
        self.characters: Sequence[str] = with_blank_and_space(metadata["character"])
        #: Number of the l.
        self.ell = ell_of(self.characters)
        likely = reader.graph.output[0].name
        lines = _session(_giving_places(reader, self.ell), device, _RECOGNITION_PART)
        page = _session(onnx.load(DIRECTION), device, _DIRECTION_PART)
        self._runs = {
            TEXT_MAP: (_session(_giving_map(onnx.load(DETECTION)), device, _DETECTION_PART), (_MAP,)),
            LINES: (lines, _PLACES),
            LIKELY: (lines, (likely,)),
            PAGE: (page, (page.get_outputs()[0].name,)),
        }

    @property
    def providers(self) -> set[str]:
        """The first choice of each network: ONNX Runtime leaves out what it cannot use."""
        return {session.get_providers()[0] for session, _ in self._runs.values()}

    def run(self, network: str, inputs: Sequence[Any]) -> Sequence[Any]:
        """Run a network once on inputs of one shape, and return an output for each.

        `TEXT_MAP`: rows x columns x BGR to rows x columns, 0 to 255. `LINES` and `LIKELY`: a line to its
        `Places`, or to places x characters. `PAGE`: what `networks.centre_of` returns to the likelihood of
        each angle.
        """
        session, names = self._runs[network]
        binding = session.io_binding()
        # The binding does not keep the array: this variable does until the network has run.
        batch = np.stack(inputs)
        binding.bind_cpu_input(session.get_inputs()[0].name, batch)
        for name in names:
            binding.bind_output(name)
        session.run_with_iobinding(binding)
        outputs = binding.copy_outputs_to_cpu()
        if network == LINES:
            return [Places(*(each[:, 0] for each in line)) for line in zip(*outputs, strict=True)]
        return [each[0] for each in outputs[0]] if network == TEXT_MAP else list(outputs[0])


def _session(model: Any, device: Device, memory_part: float) -> Any:
    options = onnxruntime.SessionOptions()
    # Errors are raised as exceptions too.
    options.log_severity_level = 3
    provider: Any = "CPUExecutionProvider"
    if device.on_gpu:
        provider = cuda.PROVIDER, _cuda_options(device, memory_part)
    else:
        options.intra_op_num_threads = device.threads
        # It would keep the memory of the largest page.
        options.enable_cpu_mem_arena = False
    # Else an error of the GPU would be printed, and the network run on the processor.
    return onnxruntime.InferenceSession(model.SerializeToString(), options, [provider], enable_fallback=0)


def _cuda_options(device: Device, memory_part: float) -> dict[str, Any]:
    options = dict(cuda.OPTIONS)
    if device.memory_bytes is not None:
        options["gpu_mem_limit"] = int(device.memory_bytes * memory_part)
    return options


def _giving_map(model: Any) -> Any:
    """Let the detector take pixels, and give bytes: lines x 1 x rows x columns."""
    graph = _taking_pixels(model)
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "most"))
    graph.node.extend(
        [
            helper.make_node("Mul", [graph.output[0].name, "most"], ["scaled"]),
            helper.make_node("Round", ["scaled"], ["rounded"]),
            helper.make_node("Cast", ["rounded"], [_MAP], to=TensorProto.UINT8),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(_MAP, TensorProto.UINT8, None))
    return model


def _giving_places(model: Any, ell: int) -> Any:
    """Let a recogniser take pixels, and also give what decoding looks at: lines x places x 1 of each."""
    graph = _taking_pixels(model)
    likely = graph.output[0].name
    space = graph.output[0].type.tensor_type.shape.dim[2].dim_value - 1
    for name, number in (("space", space), ("ell", ell)):
        graph.initializer.append(numpy_helper.from_array(np.array([number], np.int64), f"number_of_{name}"))
        graph.node.append(helper.make_node("Gather", [likely, f"number_of_{name}"], [name], axis=2))
    graph.node.extend(
        [
            helper.make_node("ArgMax", [likely], ["best"], axis=2, keepdims=1),
            helper.make_node("GatherElements", [likely, "best"], ["surest"], axis=2),
        ]
    )
    for name in _PLACES:
        kind = TensorProto.INT64 if name == "best" else TensorProto.FLOAT
        graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return model


def _taking_pixels(model: Any) -> Any:
    """Let a network take batches of BGR rows, and return its graph; it makes -1 to 1 of them itself."""
    graph = model.graph
    values = graph.input[0].name
    steps = [
        helper.make_node("Cast", [_PIXELS], ["pixels_as_floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["pixels_as_floats", "middle"], ["about_0"]),
        helper.make_node("Div", ["about_0", "middle"], ["normalised"]),
        helper.make_node("Transpose", ["normalised"], [values], perm=[0, 3, 1, 2]),
    ]
    for step in reversed(steps):
        graph.node.insert(0, step)
    graph.initializer.append(numpy_helper.from_array(np.array(MIDDLE, np.float32), "middle"))
    del graph.input[:]
    shape = ["count", "rows", "columns", 3]
    graph.input.append(helper.make_tensor_value_info(_PIXELS, TensorProto.UINT8, shape))
    return graph
