#!/usr/bin/env bash
# Guess: with a model cache, OpenVINO notices that the weights of a model have changed, and compiles it again.
#
# Found (OpenVINO 2026.4.1, CPU): compile_model(PATH) does not look at the file that holds the weights, neither the
#   .bin of an IR nor the external data of an ONNX file. After a new one was put there, even of another date, the
#   cached network with the old weights is used. A model that is one file is looked up by its name, size and date:
#   new weights of the same size and date are not noticed either. compile_model(read_model(PATH)) does see the new
#   weights in all of these cases, with the same cache directory.
#
# Hurts: who keeps a cache between releases of a model. Retraining may leave the graph file byte for byte the same;
#   tools that copy only what has changed then replace the weights alone. Image builders that set one date on all
#   files make releases look the same. The service holds the new files and answers with the old network.
#
# Output seen (an answer of 64 is the old model's, 128 the new one's):
#   OpenVINO 2026.4.1
#   new .bin of an IR, a day later              by path  64, from cache True    read first 128    without cache 128
#   new data file of an ONNX, a day later       by path  64, from cache True    read first 128    without cache 128
#   new ONNX in one file, same size and date    by path  64, from cache True    read first 128    without cache 128
#   longer ONNX in one file, same date          by path 128, from cache False   read first 128    without cache 128
#   new ONNX in one file, a day later           by path 128, from cache False   read first 128    without cache 128
#   still so
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q openvino==2026.4.1 onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PY'
import os
import shutil

import numpy as np
import onnx
import openvino as ov
import openvino.opset13 as opset
from onnx import TensorProto, helper, numpy_helper

DAY = 86400
DATE = 1_700_000_000
INPUT = np.ones((1, 64), np.float32)


def onnx_model(weight):
    weights = numpy_helper.from_array(np.full((64, 8), weight, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def ir(folder, weight):
    x = opset.parameter([-1, 64], np.float32, name="x")
    w = opset.constant(np.full((64, 8), weight, np.float32), name="w")
    y = opset.matmul(x, w, False, False, name="y")
    model = ov.Model([opset.result(y, name="out")], [x], "graph")
    ov.save_model(model, f"{folder}/model.xml", compress_to_fp16=False)
    return "model.xml", "model.bin"


def external(folder, weight):
    onnx.save(onnx_model(weight), f"{folder}/model.onnx", save_as_external_data=True, location="data", size_threshold=0)
    return "model.onnx", "data"


def single(folder, weight):
    onnx.save(onnx_model(weight), f"{folder}/model.onnx")
    return "model.onnx", "model.onnx"


def longer(folder, weight):
    model = onnx_model(weight)
    model.doc_string = "x" * 100 * weight
    onnx.save(model, f"{folder}/model.onnx")
    return "model.onnx", "model.onnx"


def core(cache):
    made = ov.Core()
    if cache:
        made.set_property({"CACHE_DIR": cache})
    return made


def answer(compiled):
    return int(compiled(INPUT)[0][0, 0])


def compiled(path, cache):
    # A new Core, as in a new process.
    return core(cache).compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def compiled_read(path, cache):
    made = core(cache)
    return made.compile_model(made.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def release(name, save, later, expected):
    for folder in ("live", "new", "cache"):
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
    main, weights = save("live", 1)
    for file in os.listdir("live"):
        os.utime(f"live/{file}", (DATE, DATE))
    path = f"live/{main}"
    assert answer(compiled(path, "cache")) == 64
    assert answer(compiled_read(path, "cache")) == 64
    save("new", 2)
    if weights != main:
        with open(f"new/{main}", "rb") as new, open(path, "rb") as old:
            assert new.read() == old.read(), "only the weights differ"
    os.replace(f"new/{weights}", f"live/{weights}")
    os.utime(f"live/{weights}", (DATE + later, DATE + later))
    by_path = compiled(path, "cache")
    result = answer(by_path), by_path.get_property("LOADED_FROM_CACHE")
    read, uncached = answer(compiled_read(path, "cache")), answer(compiled(path, ""))
    print(
        f"{name:43} by path {result[0]:3}, from cache {result[1]!s:5}   read first {read}    without cache {uncached}"
    )
    assert result == expected
    assert read == uncached == 128


print("OpenVINO", ov.__version__.split("-")[0])
release("new .bin of an IR, a day later", ir, DAY, (64, True))
release("new data file of an ONNX, a day later", external, DAY, (64, True))
release("new ONNX in one file, same size and date", single, 0, (64, True))
release("longer ONNX in one file, same date", longer, 0, (128, False))
release("new ONNX in one file, a day later", single, DAY, (128, False))
print("still so")
PY
