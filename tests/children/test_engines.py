"""A new engine is an `EngineSpec` and one module of its child process, and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from consumer import engines, protocol
from consumer.clock import SystemClock, Watchdog
from consumer.domain.errors import SettingsError
from consumer.engines import ENGINES, EngineSpec
from consumer.processes.layout import ProcessLayout
from consumer.processes.recognizer import PageRecognizer
from consumer.settings import EngineSettings, Settings
from tests.children import toy
from tests.fakes import page_image

TOY = EngineSpec(
    name="toy",
    entry=toy.ENTRY,
    package="consumer",
    remedy="",
    resident_bytes=10**8,
    progress_deadline_s=5.0,
    options=lambda settings, share, _scratch: toy.ToyOptions(
        greeting=f"hello at {settings.render_dpi:g} dpi", **share.model_dump()
    ),
)
MISSING = EngineSpec(
    "missing", "missing:build", "no_such_package", "buy it", 1, 1.0, own_settings=("device",)
)


async def test_a_toy_engine_reads_pages_with_a_spec_and_a_child_module_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", toy.PYTHONPATH)
    options = Settings(queue_url="q", engine_workers=1, render_dpi=100, engine="TOY")
    layout = ProcessLayout.of(options, tmp_path, ENGINES | {"toy": TOY})
    deadline_s = layout.engine.progress_deadline_s
    recognizer = PageRecognizer(layout.engines, layout.recycle_policy, deadline_s, Watchdog(SystemClock()))
    async with recognizer.running():
        assert recognizer.engine.name == "toy"
        (path := tmp_path / "7.bgr").touch()
        (page,) = await recognizer.read([page_image(7, path)])
    assert [(line.page_number, line.text) for line in page.detections] == [(7, "hello at 100 dpi")]


def chosen(specs: list[EngineSpec], **settings: str) -> str:
    return engines.choose(EngineSettings.model_validate(settings), {spec.name: spec for spec in specs}).name


def test_auto_is_the_most_capable_engine_that_is_installed() -> None:
    assert list(ENGINES) == ["rapidocr", "pp-structurev3"]
    assert chosen([TOY, MISSING]) == chosen([MISSING, TOY]) == "toy"


def test_an_unknown_engine_is_refused_with_the_names_of_the_others() -> None:
    with pytest.raises(
        SettingsError, match=r"^BUCKET_OCR_ENGINE='x': must be auto, rapidocr or pp-structurev3$"
    ):
        engines.choose(EngineSettings(engine="x"))


@pytest.mark.parametrize("engine", ["auto", "missing"])
def test_an_engine_that_is_not_installed_is_refused_with_its_remedy(engine: str) -> None:
    refusal = f"^BUCKET_OCR_ENGINE={engine}: no_such_package is not installed: buy it$"
    with pytest.raises(SettingsError, match=refusal):
        chosen([MISSING], engine=engine)


def test_remedies_are_no_names_on_a_package_index() -> None:
    for engine in ENGINES.values():
        assert "bucket-ocr[" not in engine.remedy


def test_an_engine_for_the_cpu_refuses_a_gpu() -> None:
    with pytest.raises(SettingsError, match=r"^BUCKET_OCR_DEVICE=gpu:0: toy runs on the CPU only"):
        chosen([TOY], device="gpu:0")


def test_a_gpu_is_used_by_itself_only_if_the_engine_has_what_it_needs_for_one() -> None:
    with_package = replace(TOY, gpu_bytes=1, gpu_package="pydantic")
    without = replace(TOY, gpu_bytes=1, gpu_package="no-such-distribution")
    assert [each.may_use_gpus("auto") for each in (TOY, with_package, without)] == [False, True, False]
    assert without.may_use_gpus("gpu:0")
    assert ENGINES["pp-structurev3"].may_use_gpus("auto")
    with pytest.raises(SettingsError, match=r"DEVICE=gpu: toy needs no-such-distribution for GPUs: "):
        chosen([without], device="gpu")


def test_settings_of_another_engine_are_without_effect() -> None:
    made = Settings(queue_url="q", pipeline_config="fast")
    assert engines.without_effect(made, ENGINES["rapidocr"]) == ["BUCKET_OCR_PIPELINE_CONFIG"]
    assert engines.without_effect(made, ENGINES["pp-structurev3"]) == []
    assert engines.without_effect(Settings(queue_url="q"), ENGINES["rapidocr"]) == []
    chosen = Settings(queue_url="q", languages="ko")
    assert engines.without_effect(chosen, TOY) == ["BUCKET_OCR_LANGUAGES"]
    assert [engines.without_effect(chosen, engine) for engine in ENGINES.values()] == [[], []]


@pytest.mark.parametrize(
    ("wanted", "has_extra", "layout"),
    [
        ("auto", False, "fast"),
        ("auto", True, "full"),
        ("none", True, "none"),
        ("fast", True, "fast"),
        ("full", True, "full"),
    ],
)
def test_auto_is_the_best_layout_that_is_installed(
    wanted: Literal["auto", "none", "fast", "full"], has_extra: bool, layout: str
) -> None:
    assert engines.layout_for(wanted, has_extra=has_extra) == layout


def test_a_layout_that_is_not_installed_is_refused_with_its_remedy() -> None:
    refusal = r"^BUCKET_OCR_LAYOUT=full: pymupdf-layout is not installed: pip install '\.\[layout\]'"
    with pytest.raises(SettingsError, match=refusal):
        engines.layout_for("full", has_extra=False)


def test_the_layout_is_one_of_rapidocr_alone() -> None:
    made = Settings(queue_url="q", layout="none")
    assert engines.without_effect(made, ENGINES["pp-structurev3"]) == ["BUCKET_OCR_LAYOUT"]
    assert engines.without_effect(made, ENGINES["rapidocr"]) == []
    options = ENGINES["rapidocr"].options(made, protocol.EngineOptions(threads=1), Path())
    assert isinstance(options, protocol.RapidOcrOptions)
    assert options.layout == "none"
