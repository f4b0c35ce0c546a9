"""The settings have one description each, which documents repeat word for word."""

import re

import pytest

from consumer.settings import PREFIX, Settings, load
from tests.docs import make_docs


def test_every_setting_has_a_description_that_ends_its_sentence() -> None:
    assert {name for name, _ in make_docs.fields()} == set(Settings.model_fields)
    for name, field in make_docs.fields():
        assert (field.description or "").endswith("."), name


def test_the_table_of_settings_is_that_of_the_class() -> None:
    text = make_docs.SETTINGS.read_text(encoding="utf-8")
    assert make_docs.between(text) == make_docs.table(), "run `make docs`"


def test_the_example_is_that_of_the_class() -> None:
    assert make_docs.EXAMPLE.read_text(encoding="utf-8") == make_docs.example(), "run `make docs`"


def test_defaults_that_documents_tell_are_those_of_a_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/1/q")
    unset = load(Settings)
    for line in make_docs.example().splitlines():
        if match := re.fullmatch(rf"# ({PREFIX}\w+)=(.*)", line):
            monkeypatch.setenv(*match.groups())
    assert load(Settings) == unset


@pytest.mark.parametrize(
    ("name", "default", "values"),
    [
        ("queue_url", "", ""),
        ("batch_pages", "auto", "1 to 250"),
        ("render_workers", "auto", "1 or more"),
        ("lease_s", "60", "10 to 3,600"),
        ("stall_s", "300", "165 to 43,200 (PP-StructureV3: 300 to 43,200)"),
        ("layout", "auto", "`auto`, `none`, `fast`, `full`"),
        ("sse", "", "`AES256`, `aws:kms`, `aws:kms:dsse`"),
        ("words", "false", "`true`, `false`"),
        ("outputs", "json", ""),
    ],
)
def test_defaults_choices_and_ranges_are_told(name: str, default: str, values: str) -> None:
    field = Settings.model_fields[name]
    assert (make_docs.default(field), make_docs.values(field)) == (default, values)
