"""All that has to be right before Paddle is imported, which takes seconds and reads the environment."""

import os
import tempfile
from typing import Final

from consumer import protocol
from consumer.child.serve import RequestHandler
from consumer.domain.errors import SettingsError
from consumer.models import manifest
from consumer.models.config import GPU_HINT, PipelineConfig, home

_ENVIRONMENT: Final = {
    # A GPU that is asked for and missing is an error.
    "PADDLE_PDX_DISABLE_DEVICE_FALLBACK": "1",
    # Every model lies here already.
    "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    # CUDA counts the fastest first, the library by which the parent chose a GPU does not.
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    # As much of the GPU's memory as is needed: there are other processes like this one.
    "FLAGS_allocator_strategy": "auto_growth",
}


def build(options: protocol.PpStructureOptions) -> RequestHandler:
    """Build the servant of the role `pp-structurev3`; raises SettingsError, which says what to do."""
    pipeline = PipelineConfig.load(options.pipeline, options.runtime, options.device)
    manifest.require(pipeline.models)
    prepare_environment(options.scratch)
    if options.cpus:
        os.sched_setaffinity(0, options.cpus)
    if options.cuda_name is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = options.cuda_name
        _require_gpu(pipeline)
    from consumer.child.ppstructure.engine import PpStructureEngine

    return PpStructureEngine(options, pipeline)


def prepare_environment(scratch: str) -> None:
    """Tell PaddleX, before it is imported, to load what is there and nothing else.

    `scratch`: a folder where it may write.
    """
    os.environ.update(_ENVIRONMENT)
    if not os.access(home(), os.W_OK):
        # It wants a folder for its locks, be all models on a file system that is only read.
        os.environ["PADDLE_PDX_CACHE_HOME"] = tempfile.mkdtemp(prefix="paddlex-", dir=scratch)


def _require_gpu(pipeline: PipelineConfig) -> None:
    """Raise SettingsError where what runs the networks, or some of them, has no GPU to run them on."""
    if any(model.is_onnx for model in pipeline.models):
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise SettingsError(
                "ONNX Runtime is installed without CUDA: install onnxruntime-gpu in its place"
            )
    if all(model.is_onnx for model in pipeline.models):
        return
    import paddle

    if not paddle.device.is_compiled_with_cuda():
        raise SettingsError(f"paddlepaddle is installed for CPUs only: {GPU_HINT}")
    if not paddle.device.cuda.device_count():
        raise SettingsError(f"Paddle finds no GPU: look at nvidia-smi, and {GPU_HINT}")
