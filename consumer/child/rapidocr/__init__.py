"""The engine process of RapidOCR."""

import os
import sys

# Kernels that oneDNN keeps, for all networks together, so that memory does not grow with the shapes of pages.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")

# OpenVINO would report every start to its makers, over the network.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
