"""The engine process of RapidOCR."""

import sys

# OpenVINO would report every start to its makers, over the network.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
