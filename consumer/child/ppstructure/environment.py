"""Checks and environment variables that must precede the import of Paddle, which takes seconds."""

import os
import tempfile
from typing import Final

from consumer import protocol
from consumer.child import cuda
from consumer.child.serve import RequestHandler
from consumer.domain.errors import SettingsError
from consumer.models import manifest
from consumer.models.config import GPU_HINT, PipelineConfig
from consumer.models.gpu_wheels import GpuWheels

_ENVIRONMENT: Final = {
    # A missing GPU is an error.
    "PADDLE_PDX_DISABLE_DEVICE_FALLBACK": "1",
    # Every model is on disk already.
    "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    # Take GPU memory as needed, not all of it: other engine processes share the GPU.
    "FLAGS_allocator_strategy": "auto_growth",
}


def build(options_json: str) -> RequestHandler:
    """Build the handler of an engine process; raises SettingsError, with a remedy."""
    options = protocol.PpStructureOptions.model_validate_json(options_json)
    pipeline = PipelineConfig.load(options.pipeline, options.runtime, options.device, options.languages)
    manifest.require(pipeline.models)
    # PaddleX, which is not imported yet, must load local models only.
    os.environ.update(_ENVIRONMENT)
    # It needs a folder for its locks. That of the models may be read-only, and is so in the sandbox.
    os.environ["PADDLE_PDX_CACHE_HOME"] = tempfile.mkdtemp(prefix="paddlex-", dir=options.scratch)
    if options.cpus:
        os.sched_setaffinity(0, options.cpus)
    if options.cuda_name is not None:
        cuda.choose_gpu(options.cuda_name)
        _require_gpu(pipeline)
    from consumer.child.ppstructure.engine import PpStructureEngine

    return PpStructureEngine(options, pipeline)


def _require_gpu(pipeline: PipelineConfig) -> None:
    """Raise SettingsError if a runtime of the pipeline cannot use a GPU."""
    if any(model.is_onnx for model in pipeline.models):
        import onnxruntime

        cuda.load_libraries(onnxruntime, GpuWheels.here())
    if all(model.is_onnx for model in pipeline.models):
        return
    import paddle

    if not paddle.device.is_compiled_with_cuda():
        raise SettingsError(f"paddlepaddle is installed for CPUs only: {GPU_HINT}")
    if not paddle.device.cuda.device_count():
        raise SettingsError(f"Paddle finds no GPU: check nvidia-smi, and {GPU_HINT}")
