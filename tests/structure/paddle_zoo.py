"""Small models for Paddle itself, so that the default engine of PP-StructureV3 runs offline.

Run as a program, this writes the networks alone. It loads Paddle, which takes signals for itself, and no
PaddleX, which takes ten seconds to load.
The layout is fixed, text is found where a page is dark, and every line reads `WORD`.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

LAYOUT, DETECTION, RECOGNITION = "PP-DocLayout_plus-L", "PP-OCRv5_server_det", "PP-OCRv5_server_rec"
#: What every line of text reads.
WORD = "paddle"
#: The one block of every page: class 2 (text), score, and the sides as fractions of the page's.
BLOCK = (2.0, 0.9, 0.1, 0.05, 0.9, 0.95)

_SIDE_PX = 800
#: As wide as the gaps between letters, so that the words of a line become one.
_POOL_PX = 25


_PIPELINE = """\
use_table_recognition: false
use_formula_recognition: false
use_region_detection: false
use_doc_orientation_classify: false
SubPipelines: {GeneralOCR: {use_textline_orientation: false}}
"""


def build(home: Path) -> Path:
    """Fill a folder for PADDLE_PDX_CACHE_HOME; gives the file of a pipeline of these models alone."""
    from paddlex.modules.base.utils.pdparams2safetensors.inference_meta import (  # noqa: PLC0415 - see above
        build_inference_meta,
    )

    models = home / "official_models"
    subprocess.run([sys.executable, __file__, str(models)], check=True, capture_output=True)
    characters = {"PostProcess": {"name": "CTCLabelDecode", "character_dict": sorted(set(WORD))}}
    for name, changes in {LAYOUT: {}, DETECTION: {}, RECOGNITION: characters}.items():
        meta = {**build_inference_meta(name), "Global": {"model_name": name}, **changes}
        (models / name / "inference.yml").write_text(yaml.safe_dump(meta), encoding="utf-8")
    config = home / "pipeline.yaml"
    config.write_text(_PIPELINE, encoding="utf-8")
    return config


def _fill(models: Path) -> None:
    import paddle  # noqa: PLC0415 - see above

    class Network(paddle.nn.Layer):  # type: ignore[misc]
        """Has one weight, since a model with none is saved without the file that PaddleX looks for."""

        def __init__(self) -> None:
            super().__init__()
            self.zero = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(0.0))

    class Layout(Network):
        """Finds BLOCK on every page."""

        def forward(self, im_shape: Any, image: Any, scale_factor: Any) -> Any:
            # How much the page was downscaled tells its size. Inputs that nothing needs would be dropped.
            height_width = _SIDE_PX / scale_factor + self.zero * (im_shape + image.mean())
            sides = paddle.concat([height_width[:, 1:], height_width[:, :1]] * 2, axis=1)
            kind = paddle.ones_like(sides[:, :2]) * paddle.to_tensor(BLOCK[:2])
            boxes = paddle.concat([kind, sides * paddle.to_tensor(BLOCK[2:])], axis=1)
            return boxes, paddle.ones_like(sides[:, 0], dtype="int32")

    class Detection(Network):
        """Finds text wherever a page is dark."""

        def forward(self, x: Any) -> Any:
            # Pixels are normalised: black is below zero in every channel, white above.
            dark = paddle.cast(x.min(axis=1, keepdim=True) < self.zero, "float32")
            return paddle.nn.functional.max_pool2d(dark, (3, _POOL_PX), 1, (1, _POOL_PX // 2))

    class Recognition(Network):
        """Reads WORD in every line."""

        def forward(self, x: Any) -> Any:
            letters = sorted(set(WORD))
            # The blank comes first; between letters it keeps a double one from becoming single.
            steps = [place for letter in WORD for place in (letters.index(letter) + 1, 0)]
            # One more for the space, which PaddleX puts after the letters.
            sentence = paddle.nn.functional.one_hot(paddle.to_tensor(steps), len(letters) + 2)
            return sentence.unsqueeze(0) + self.zero * x.mean(axis=[1, 2, 3]).reshape([-1, 1, 1])

    def save(name: str, network: Any, inputs: Mapping[str, Any]) -> None:
        network.eval()
        specs = [paddle.static.InputSpec(shape, "float32", part) for part, shape in inputs.items()]
        graph = paddle.jit.to_static(network, input_spec=specs, full_graph=True)
        paddle.jit.save(graph, str(models / name / "inference"))

    layout_inputs = {
        "im_shape": [None, 2],
        "image": [None, 3, _SIDE_PX, _SIDE_PX],
        "scale_factor": [None, 2],
    }
    save(LAYOUT, Layout(), layout_inputs)
    save(DETECTION, Detection(), {"x": [None, 3, None, None]})
    save(RECOGNITION, Recognition(), {"x": [None, 3, 48, None]})


if __name__ == "__main__":
    _fill(Path(sys.argv[1]))
