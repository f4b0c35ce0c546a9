"""What an environment is made of: an SBOM (CycloneDX 1.5) and the texts of all licences.

    python inventory.py LOCK FOLDER

LOCK: the file that the environment was installed from. Every distribution that is installed must be in it, in
its version, but for those whose names match a pattern `--beside NAME`. Writes FOLDER/sbom.cdx.json and
FOLDER/THIRD-PARTY-LICENSES.txt. Needs nothing but the standard library.
"""

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

#: SPDX expressions for what distributions without one say of their licence.
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit license": "MIT",
    "isc license": "ISC",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "python": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "nvidia proprietary software": "LicenseRef-NVIDIA-Proprietary",
    "other/proprietary license": "LicenseRef-NVIDIA-Proprietary",
    "dual license": "Apache-2.0 OR BSD-3-Clause",
    "bsd-3-clause, apache-2.0, dependency licenses": "BSD-3-Clause AND Apache-2.0",
    "gnu library or lesser general public license (lgpl)": "LGPL-3.0-or-later",
    "dual licensed - gnu affero gpl 3.0 or artifex commercial license": "AGPL-3.0-only",
}

#: Licences of libraries that wheels carry, by the beginning of their file's name; others are under that of
#: the distribution, or one that asks for no more.
CARRIED = {
    **dict.fromkeys(("libavcodec", "libavformat", "libavutil"), "LGPL-2.1-or-later"),
    **dict.fromkeys(("libswresample", "libswscale", "libquadmath"), "LGPL-2.1-or-later"),
    **dict.fromkeys(("libcrypto", "libssl"), "OpenSSL"),
    **dict.fromkeys(("libgeos", "libgeos_c"), "LGPL-2.1-only"),
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
}

_PINNED = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)
_LICENCE_FILE = re.compile(r"(^|/)(licen[cs]e|copying|notice|eula)[^/]*$|/licenses/", re.IGNORECASE)
_SHARED_OBJECT = re.compile(r"\.so(\.\d+\w*)*$")


def canonical(name: str) -> str:
    """Give the name of a distribution in the form that package indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: str) -> dict[str, set[str]]:
    """Return the versions in a lock file, by canonical name: several, if Pythons have different ones."""
    versions: dict[str, set[str]] = {}
    for name, version in _PINNED.findall(lock):
        versions.setdefault(canonical(name), set()).add(version)
    return versions


def licence(distribution: Distribution) -> str:
    """Return the SPDX expression of a distribution's own licence; raises ValueError if it has none."""
    metadata: Any = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    every = metadata.get_all("Classifier") or []
    classifiers = [each.rpartition(" :: ")[2] for each in every if each.startswith("License ::")]
    first = (metadata.get("License") or "").strip().partition("\n")[0]
    said: list[str] = [each for each in (first, *classifiers) if each]
    for each in said:
        if each.lower() in SPDX:
            return SPDX[each.lower()]
        if re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", each) and each != "UNKNOWN":
            return each
    raise ValueError(f"{distribution.name}: its licence is not known here: {said}: add it to SPDX")


def carried(distribution: Distribution) -> Iterator[dict[str, Any]]:
    """Yield the shared objects of others that a wheel carries, as components."""
    for file in distribution.files or []:
        is_theirs = file.parts[0].endswith(".libs") and _SHARED_OBJECT.search(file.name)
        # The build of an image may have removed it.
        if is_theirs and Path(str(file.locate())).exists():
            name = re.split(r"[-.]", file.name)[0]
            component: dict[str, Any] = {"type": "file", "name": file.name}
            if (expression := CARRIED.get(name)) is not None:
                component["licenses"] = [{"expression": expression}]
            yield component


def component(distribution: Distribution) -> dict[str, Any]:
    """Describe a distribution, with the libraries that it carries."""
    name, version = canonical(distribution.name), distribution.version
    described = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{version}",
        "purl": f"pkg:pypi/{name}@{version}",
        "name": name,
        "version": version,
        "licenses": [{"expression": licence(distribution)}],
        "components": list(carried(distribution)),
    }
    return {key: value for key, value in described.items() if value}


def expression(components: list[dict[str, Any]]) -> str:
    """Combine the licences of all components, ours first, into one SPDX expression."""
    flat = [each for every in components for each in (every, *every.get("components", []))]
    own = [each["expression"] for component in flat for each in component.get("licenses", [])]
    terms = {term for each in own for term in each.split(" AND ")}
    # Where there is a choice, it is made by whoever passes the image on.
    enclosed = {f"({term})" if " OR " in term else term for term in terms}
    return " AND ".join(["Apache-2.0", *sorted(enclosed - {"Apache-2.0"})])


def texts(distribution: Distribution) -> str:
    """Return the licence files of a distribution, under its name."""
    files = [file for file in distribution.files or [] if _LICENCE_FILE.search(str(file))]
    paths = [Path(str(file.locate())) for file in files if file.suffix not in {".py", ".pyc"}]
    # The build of an image may have removed some.
    bodies = [path.read_text(encoding="utf-8", errors="replace").strip() for path in paths if path.exists()]
    head = f"{distribution.name} {distribution.version}: {licence(distribution)}"
    rule = "=" * 100
    return "\n\n".join([f"{rule}\n{head}\n{rule}", *(bodies or ["(Its distribution has no file of it.)"])])


def inventory(
    found: list[Distribution], lock: Mapping[str, set[str]], beside: set[str]
) -> tuple[dict[str, Any], str]:
    """Return SBOM and licences of what is installed; raises ValueError for what is not in the lock."""
    for each in found:
        name = canonical(each.name)
        locked = lock.get(name, set())
        if not any(fnmatchcase(name, pattern) for pattern in beside) and each.version not in locked:
            versions = " or ".join(sorted(locked)) or "none"
            raise ValueError(f"{name} {each.version} is installed, and the lock has {versions}")
    components = [component(each) for each in found]
    licences = [{"expression": expression(components)}]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components))}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "bucket-ocr", "licenses": licences}},
        "components": components,
    }
    return bom, "\n\n\n".join(map(texts, found)) + "\n"


def main() -> None:
    """Write both files; an error is one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beside", action="append", default=["bucket-ocr"])
    options = parser.parse_args()
    found = sorted(distributions(), key=lambda each: canonical(each.name))
    try:
        bom, licences = inventory(
            found, pinned(options.lock.read_text(encoding="utf-8")), set(options.beside)
        )
    except ValueError as error:
        sys.exit(f"inventory: {error}")
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "sbom.cdx.json").write_text(json.dumps(bom, indent=1), encoding="utf-8")
    (options.folder / "THIRD-PARTY-LICENSES.txt").write_text(licences, encoding="utf-8")


if __name__ == "__main__":
    main()
