"""The languages that can be read: groups of them, each read by one network for text recognition.

The groups are those of PP-OCRv5, for which both engines have networks. Source: PaddleOCR's documentation,
docs/version3.x/algorithm/PP-OCRv5/PP-OCRv5_multi_languages.en.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LanguageGroup:
    """Languages that one network reads.

    `name`: in settings and in the names of networks; `title`: in words; `codes`: ISO 639, two letters if the
    language has them, else three; `sr-latn` is Serbian in Latin letters.
    """

    name: str
    title: str
    codes: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """All that may stand for it in a setting: its own name, and the code of each language."""
        return frozenset({self.name, *self.codes})


def _group(name: str, title: str, codes: str) -> LanguageGroup:
    # Every network reads English too.
    return LanguageGroup(name, title, tuple(dict.fromkeys([*codes.split(), "en"])))


#: What the network in RapidOCR's wheel (PP-OCRv6) reads besides `SHIPPED`. It lacks letters of two languages
#: of the group `latin`.
ALSO_IN_WHEEL: Final = "most languages in Latin letters, but not Vietnamese and Pali"

#: What the engines read without any choice.
SHIPPED: Final = _group("auto", "Chinese, Japanese and English", "zh ja")

#: By name; the order is that of messages.
GROUPS: Final[Mapping[str, LanguageGroup]] = {
    group.name: group
    for group in (
        SHIPPED,
        _group("en", "English", ""),
        _group(
            "latin",
            "languages in Latin letters",
            "af az bs ca cs cy da de es et eu fi fr ga gl hr hu id is it ku la lb lt lv mi ms mt nl no oc "
            "pi pl pt qu rm ro sk sl sq sr-latn sv sw tl tr uz vi",
        ),
        _group("eslav", "Russian, Belarusian and Ukrainian", "ru be uk"),
        _group(
            "cyrillic",
            "languages in Cyrillic letters",
            "ru be uk bg mk sr mn kk ky tg tt ba cv os kv udm mhr ab av ce ady kbd dar inh lbe lez tab bua "
            "xal tyv sah kaa mo",
        ),
        _group("korean", "Korean", "ko"),
        _group("arabic", "languages in Arabic letters", "ar fa ur ug ps sd ckb bal"),
        _group("devanagari", "languages in Devanagari", "hi mr ne sa bh bho mai mag anp new gom bgc sck"),
        _group("th", "Thai", "th"),
        _group("el", "Greek", "el"),
        _group("ta", "Tamil", "ta"),
        _group("te", "Telugu", "te"),
    )
}


def group_for(value: str) -> LanguageGroup:
    """Return the group that reads all languages of a comma list, and the fewest others.

    `value`: names of groups and codes of languages, in lower case. Raises ValueError if there is no such
    group.
    """
    wanted = frozenset(name.strip() for name in value.split(",")) - {""}
    matches = [group for group in GROUPS.values() if wanted and wanted <= group.names]
    if not matches:
        known = ", ".join(f"{group.name} ({' '.join(group.codes)})" for group in GROUPS.values())
        raise ValueError(f"no network reads all of that: there are {known}")
    return min(matches, key=lambda group: len(group.codes))


def group_of(network: str) -> LanguageGroup | None:
    """Return the group that a network of PP-OCR reads, by its name; None for a name of another form."""
    prefix, separator, _ = network.rpartition("PP-OCRv")
    return GROUPS.get(prefix.rstrip("_") or SHIPPED.name) if separator else None
