"""The part of kustomize that `infra/k8s` uses, so that tests need no binary: anything else is refused."""

import copy
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

Object = dict[str, Any]


def render(folder: Path, objects: list[Object] | None = None) -> list[Object]:
    """The output of `kubectl kustomize`; a component gets the `objects` so far, and changes them."""
    objects = [] if objects is None else objects
    (steps,) = _documents(folder / "kustomization.yaml")
    for name in steps.pop("resources", []):
        objects += render(folder / name) if (folder / name).is_dir() else _documents(folder / name)
    for name in steps.pop("components", []):
        render(folder / name, objects)
    for patch in steps.pop("patches", []):
        _patch(objects, patch["target"], yaml.safe_load(patch["patch"]))
    if namespace := steps.pop("namespace", None):
        for each in (each for each in objects if each["kind"] != "Namespace"):
            each["metadata"]["namespace"] = namespace
    for image in steps.pop("images", []):
        _rename(objects, image)
    for replacement in steps.pop("replacements", []):
        _replace(objects, replacement)
    for patch in (patch for name in steps.pop("transformers", []) for patch in _documents(folder / name)):
        _patch(objects, patch["target"], yaml.safe_load(patch["patch"]))
    assert steps.keys() == {"apiVersion", "kind"}, f"{folder} uses more of kustomize than tests render"
    return objects


def _documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _selected(objects: list[Object], select: Object) -> list[Object]:
    name = select.get("name")
    return [o for o in objects if o["kind"] == select["kind"] and name in {None, o["metadata"]["name"]}]


def _patch(objects: list[Object], select: Object, patch: Any) -> None:
    for each in _selected(objects, select):
        if isinstance(patch, list):
            jsonpatch.apply_patch(each, copy.deepcopy(patch), in_place=True)
        else:
            assert patch["$patch"] == "delete"
            objects.remove(each)


def _rename(objects: list[Object], image: Object) -> None:
    for each in _selected(objects, {"kind": "Deployment"}):
        for container in each["spec"]["template"]["spec"]["containers"]:
            name, tag = container["image"].rsplit(":", 1)
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"


def _replace(objects: list[Object], replacement: Object) -> None:
    (source,) = _selected(objects, replacement["source"])
    path = replacement["source"]["fieldPath"].replace(".", "/")
    value = jsonpatch.JsonPointer(f"/{path}").resolve(source)
    for target in replacement["targets"]:
        for path in (path.replace(".", "/") for path in target["fieldPaths"]):
            _patch(objects, target["select"], [{"op": "replace", "path": f"/{path}", "value": value}])
