"""Networks with steps before and after them, as one ONNX graph."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

Shape = Sequence[str | int]


class Graph:
    """A network of one input that gets steps before and after it. Values go by their names.

    Steps are of the network's version of ONNX. Numbers are made of 32 bits, or of 64 if they are whole.
    """

    def __init__(self, network: onnx.ModelProto) -> None:
        # So that its names are none of ours.
        self._network = compose.add_prefix(network, "network/")
        self._nodes: list[onnx.NodeProto] = []
        self._constants = list(self._network.graph.initializer)

    def constant(self, value: Any) -> str:
        """Add numbers."""
        array = np.asarray(value)
        name = f"constant_{len(self._constants)}"
        whole = array.dtype.kind in "iub"
        self._constants.append(numpy_helper.from_array(array.astype(np.int64 if whole else np.float32), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a step of one output."""
        name = f"step_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def count(self, value: str) -> str:
        """Add the length of the first axis."""
        return self.add("Gather", self.add("Shape", value), self.constant([0]))

    def run(self, value: str) -> list[str]:
        """Add the network itself, with this for its input."""
        weights = {tensor.name for tensor in self._network.graph.initializer}
        (input_name,) = (each.name for each in self._network.graph.input if each.name not in weights)
        self._nodes.append(helper.make_node("Identity", [value], [input_name]))
        self._nodes += self._network.graph.node
        return [each.name for each in self._network.graph.output]

    def model(self, inputs: Mapping[str, Shape], outputs: Mapping[str, tuple[int, Shape, str]]) -> Any:
        """Finish the model. `outputs`: kind, shape, and the value that it gives, by its name."""
        for name, (_, _, value) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self._nodes,
            "network",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape, _) in outputs.items()],
            self._constants,
        )
        opsets = self._network.opset_import
        return helper.make_model(graph, opset_imports=opsets, ir_version=self._network.ir_version)
