"""Languages are chosen by one setting; each choice has one network, which both engines name."""

from pathlib import Path

import pytest

from consumer.domain.languages import GROUPS, group_for, group_of
from consumer.models import rapidocr

LANGUAGES = Path(__file__).parents[2] / "docs/engines-and-languages.md"


@pytest.mark.parametrize(
    ("value", "group"),
    [
        ("auto", "auto"),
        ("zh,ja", "auto"),
        ("en", "en"),
        ("ko", "korean"),
        ("korean,en", "korean"),
        ("ru", "eslav"),
        ("uk, en", "eslav"),
        ("ru,bg", "cyrillic"),
        ("cyrillic,ru", "cyrillic"),
        ("de,fr,en", "latin"),
        ("sr", "cyrillic"),
        ("sr-latn", "latin"),
        ("el,en", "el"),
    ],
)
def test_languages_are_read_by_the_network_that_reads_the_fewest_others(value: str, group: str) -> None:
    assert group_for(value).name == group


@pytest.mark.parametrize("value", ["klingon", "ru,th", "zh,ko", "eslav,cyrillic", "", " , "])
def test_languages_that_no_single_network_reads_are_refused_with_a_list_of_all(value: str) -> None:
    with pytest.raises(ValueError, match="no network reads all of that") as refused:
        group_for(value)
    for group in GROUPS.values():
        assert f"{group.name} ({' '.join(group.codes)})" in str(refused.value)


def test_the_installed_rapidocr_lists_a_network_with_its_hash_for_every_choice() -> None:
    for group in GROUPS.values():
        for model in rapidocr.recognition(group.name):
            entry = rapidocr.listed(model.name)
            assert entry.url.endswith(f"/{model.name}.onnx")
            assert len(bytes.fromhex(entry.sha256)) == 32
            assert group_of(model.name) == group


def test_the_languages_of_a_network_are_known_by_its_name() -> None:
    assert group_of("PP-OCRv5_server_rec") == GROUPS["auto"]
    assert group_of("en_PP-OCRv4_mobile_rec") == GROUPS["en"]
    assert group_of("ka_PP-OCRv3_mobile_rec") is None
    assert group_of("mine") is None


def test_the_page_of_languages_has_every_choice_with_its_languages() -> None:
    lines = LANGUAGES.read_text(encoding="utf-8").splitlines()
    rows = [line.split("|") for line in lines if line[:3] == "| `"]
    table = {row[1].strip(" `"): row[-2].strip() for row in rows}
    for group in GROUPS.values():
        assert table[group.name] == ", ".join(code for code in group.codes if code != "en") or "en"
