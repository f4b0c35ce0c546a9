"""`python -m consumer.models.load MODELS`: load models one by one, and say what went wrong with each.

MODELS is JSON, a list of name, folder and whether it is for onnxruntime. Standard output has a line of JSON
when the libraries are there, and one for each model: null, or the error. A damaged file may end this
process instead.
"""

import json
import os
import sys
import tempfile
from typing import Final

from consumer.child import serve
from consumer.child.ppstructure import environment

#: The first line.
READY: Final = "ready"


def main() -> None:
    """Load all of them on the processor: a GPU may be at work for a consumer."""
    serve.prepare_process()
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    # What libraries print is no reply.
    os.dup2(2, 1)
    scratch = tempfile.TemporaryDirectory(prefix="bucket-ocr-verify-")
    environment.prepare_environment(scratch.name)
    from paddlex import create_predictor

    print(json.dumps(READY), file=replies)
    for name, folder, is_onnx in json.loads(sys.argv[1]):
        error = None
        try:
            create_predictor(
                name,
                model_dir=folder,
                device="cpu",
                engine="onnxruntime" if is_onnx else "paddle",
                # Without oneDNN, which has nothing to do with the files.
                engine_config=None if is_onnx else {"paddle_static": {"run_mode": "paddle"}},
            )
        except Exception as caught:  # noqa: BLE001 - whatever a library raises is what we want to know
            error = f"{type(caught).__name__}: {' '.join(str(caught).split())}"[:300]
        print(json.dumps(error), file=replies)


if __name__ == "__main__":
    main()
