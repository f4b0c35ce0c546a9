"""The packaged pipeline, presets, and what operators put on top."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from paddlex.inference import load_pipeline_config
from paddlex.inference.utils.official_models import OCR_MODELS, ONNX_SUPPORTED_MODELS

from consumer.domain.errors import SettingsError
from consumer.domain.languages import GROUPS, SHIPPED, group_of
from consumer.models import config
from consumer.models.config import PRESETS, PipelineConfig


def load(
    pipeline: str | None = None, runtime: Any = "paddle", languages: str = SHIPPED.name
) -> PipelineConfig:
    return PipelineConfig.load(pipeline, runtime, "cpu", languages)


def names(config: PipelineConfig) -> dict[str, str]:
    return {model.role: model.name for model in config.models}


def written(tmp_path: Path, content: Any) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def keys(config: Any, at: str = "") -> set[str]:
    if not isinstance(config, dict):
        return set()
    return {f"{at}{key}" for key in config} | {
        deeper for key, value in config.items() for deeper in keys(value, f"{at}{key}.")
    }


def test_the_packaged_file_has_no_key_that_paddlex_does_not_know() -> None:
    theirs = load_pipeline_config("PP-StructureV3")
    ours = yaml.safe_load((Path(config.__file__).parents[1] / "pipelines/PP-StructureV3.yaml").read_text())
    # Read by PaddleX, though its own file does not have them.
    known = {"use_doc_orientation_classify", "use_doc_unwarping"}
    modules = {"SubModules.RegionDetection", "SubPipelines.DocPreprocessor.SubModules.DocUnwarping"}
    batches = {f"{module}.batch_size" for module in modules} | {
        "SubPipelines.GeneralOCR.SubModules.TextDetection.batch_size"
    }
    assert keys(ours) - keys(theirs) == known | batches


def test_the_packaged_pipeline_names_every_model() -> None:
    assert names(load()) == {
        "layout": "PP-DocLayout_plus-L",
        "region": "PP-DocBlockLayout",
        "page_orientation": "PP-LCNet_x1_0_doc_ori",
        "text_detection": "PP-OCRv5_server_det",
        "text_recognition": "PP-OCRv5_server_rec",
        "table_class": "PP-LCNet_x1_0_table_cls",
        "wired_table": "SLANeXt_wired",
        "wireless_table": "SLANet_plus",
        "wired_cells": "RT-DETR-L_wired_table_cell_det",
        "wireless_cells": "RT-DETR-L_wireless_table_cell_det",
        "formula": "PP-FormulaNet_plus-S",
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_used(preset: str) -> None:
    config = load(preset)
    assert (preset == "balanced") == (config.digest == load().digest)
    assert ("formula" in names(config)) == (preset != "fast")
    assert ("seal_detection" in names(config)) == (preset == "full")


def test_dewarping_is_off_by_default_and_the_hidden_preprocessor_with_it(tmp_path: Path) -> None:
    """PaddleX takes absent switches for on, in two places."""
    off = load(written(tmp_path, {"use_doc_orientation_classify": False})).config
    assert off["use_doc_preprocessor"] is False
    half = load().config
    assert half["use_doc_preprocessor"] is True
    assert half["SubPipelines"]["DocPreprocessor"]["use_doc_unwarping"] is False
    assert "unwarping" in names(load(written(tmp_path, {"use_doc_unwarping": True})))


def test_a_file_is_merged_key_by_key(tmp_path: Path) -> None:
    module = {"TextRecognition": {"model_name": "en_PP-OCRv4_mobile_rec"}}
    config = load(written(tmp_path, {"SubPipelines": {"GeneralOCR": {"SubModules": module}}}))
    assert names(config) == names(load()) | {"text_recognition": "en_PP-OCRv4_mobile_rec"}


def test_the_digest_covers_all_that_changes_a_result_and_nothing_else(tmp_path: Path) -> None:
    base = load().digest
    assert load(written(tmp_path, {"batch_size": 2})).digest == base
    assert load(runtime="onnxruntime").digest == base
    assert load(runtime="paddle_fp16").digest != base
    assert load(written(tmp_path, {"use_seal_recognition": True})).digest != base
    strict = {"SubModules": {"LayoutDetection": {"threshold": {0: 0.4}}}}
    assert load(written(tmp_path, strict)).digest != base
    half = {"SubPipelines": {"GeneralOCR": {"engine_config": {"paddle_static": {"run_mode": "paddle_fp16"}}}}}
    assert load(written(tmp_path, half)).digest != base


def test_a_custom_model_counts_by_its_files_and_not_by_its_place(tmp_path: Path) -> None:
    def digest(folder: str, weights: bytes) -> str:
        own = tmp_path / folder
        own.mkdir(exist_ok=True)
        (own / "inference.pdiparams").write_bytes(weights)
        changed = {"SubModules": {"LayoutDetection": {"model_dir": str(own)}}}
        return load(written(tmp_path, changed)).digest

    assert digest("here", b"one") == digest("there", b"one") != digest("here", b"two")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"use_table_recogniton": False}, "unknown key use_table_recogniton"),
        (
            {"SubModules": {"LayoutDetection": {"treshold": 0.5}}},
            "unknown key SubModules.LayoutDetection.treshold",
        ),
        ({"SubPipelines": None}, "None at SubPipelines, not a mapping"),
        (
            {"SubModules": {"LayoutDetection": {"model_name": None}}},
            "None at SubModules.*model_name, not a text",
        ),
        ({"SubModules": {"LayoutDetection": {"model_dir": 7}}}, "7 at SubModules.*model_dir, not a folder"),
        ({"use_table_recognition": "no"}, "'no' at use_table_recognition, not true or false"),
        ({"model_dir": "mine"}, "unknown key model_dir"),
        ({"engine": "onnxruntime"}, "unknown key engine"),
        ({"SubModules": {"LayoutDetection": {"threshold": "2020-01-01x"}}}, "not a number, or one for each"),
        ({"SubModules": {"LayoutDetection": {"threshold": {"a": 1}}}}, "not a number, or one for each class"),
        ({"SubModules": {"LayoutDetection": {"batch_size": 0}}}, "0 at SubModules.*batch_size, not a number"),
        ({"SubModules": {"LayoutDetection": {"model_name": "../../x"}}}, "'../../x' at .*no model's name"),
        (
            {"SubModules": {"LayoutDetection": {"engine_config": {"cpu_threads": 4}}}},
            "engine_config, not settings by engine",
        ),
        ({"batch_size": "many"}, "'many' at batch_size, not a number"),
        (
            {"SubPipelines": {"GeneralOCR": {"engine": "fast"}}},
            "'fast' at SubPipelines.GeneralOCR.engine, not",
        ),
        ("a: [", "is no YAML"),
        ("- 1", "not a mapping"),
    ],
)
def test_an_unknown_key_or_a_wrong_type_is_refused_with_its_path(
    content: Any, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=problem) as refused:
        load(written(tmp_path, content))
    assert "BUCKET_OCR_PIPELINE_CONFIG" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_neither_a_preset_nor_a_file_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"neither a preset \(balanced, fast, full\) nor a file"):
        load("quick")


def test_each_runtime_has_its_own_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(tmp_path))
    folders = {runtime: load(runtime=runtime).models[0].folder for runtime in ("paddle", "onnxruntime")}
    models = tmp_path / "official_models"
    assert folders == {
        "paddle": models / "PP-DocLayout_plus-L",
        "onnxruntime": models / "PP-DocLayout_plus-L_onnx",
    }


def test_a_module_may_have_a_runtime_of_its_own(tmp_path: Path) -> None:
    formula = {"SubPipelines": {"FormulaRecognition": {"engine": "paddle"}}}
    models = {model.role: model for model in load(written(tmp_path, formula), "onnxruntime").models}
    assert models["formula"].is_onnx is False
    assert models["layout"].is_onnx is True


def test_values_by_class_are_replaced_as_a_whole(tmp_path: Path) -> None:
    layout = {"model_name": "PP-DocLayout-M", "threshold": {20: 0.5, 22: 0.5}}
    config = load(written(tmp_path, {"SubModules": {"LayoutDetection": layout}})).config
    assert config["SubModules"]["LayoutDetection"]["threshold"] == {20: 0.5, 22: 0.5}


def test_engine_settings_of_a_module_are_added_to_ours(tmp_path: Path) -> None:
    own = {"SubPipelines": {"GeneralOCR": {"engine_config": {"paddle_static": {"cpu_threads": 4}}}}}
    ours = {"paddle_static": {"run_mode": "paddle_fp16", "cpu_threads": 1}, "onnxruntime": {}}
    config = load(written(tmp_path, own)).runnable(1, "cpu", ours)
    assert config["SubPipelines"]["GeneralOCR"]["engine_config"] == {
        "paddle_static": {"run_mode": "paddle_fp16", "cpu_threads": 4}
    }


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(SettingsError, match="neither a preset"):
        load("a\0b")


@pytest.mark.parametrize("languages", sorted(GROUPS.keys() - {SHIPPED.name}))
def test_languages_choose_an_official_network_for_text(languages: str) -> None:
    name = f"{languages}_PP-OCRv5_mobile_rec"
    assert names(load(languages=languages)) == names(load()) | {"text_recognition": name}
    assert load(languages=languages).digest != load().digest
    assert name in OCR_MODELS
    assert name in ONNX_SUPPORTED_MODELS
    assert group_of(name) == GROUPS[languages]


def test_languages_go_with_presets_and_with_files_that_name_no_network_for_text(tmp_path: Path) -> None:
    own = written(tmp_path, {"use_formula_recognition": False, "SubPipelines": {"GeneralOCR": {}}})
    for pipeline in (*PRESETS, own):
        assert names(load(pipeline, languages="th"))["text_recognition"] == "th_PP-OCRv5_mobile_rec"


@pytest.mark.parametrize("key", ["model_name", "model_dir"])
def test_languages_and_a_network_for_text_of_the_operators_own_are_refused(tmp_path: Path, key: str) -> None:
    own = {"SubPipelines": {"GeneralOCR": {"SubModules": {"TextRecognition": {key: "mine"}}}}}
    refusal = rf"BUCKET_OCR_LANGUAGES=th and SubPipelines\S*TextRecognition\.{key} .* remove one of them"
    with pytest.raises(SettingsError, match=refusal):
        load(written(tmp_path, own), languages="th")
