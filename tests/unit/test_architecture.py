"""The house keeps its shape: who may import whom, what stays out of the parent, how large things get."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "consumer").rglob("*.py"))

#: By the first name below `consumer`; what is not listed must be put on this list first.
ALLOWED: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "cli": {"cli", "app", "doctor", "models", "settings", "logs", "service", "domain", "ports"},
    "app": {
        *("aws", "clock", "domain", "engines", "health", "logs", "metrics", "ports", "processes"),
        *("protocol", "service", "settings"),
    },
    "doctor": {"aws", "doctor", "domain", "models", "processes", "settings"},
    "health": {"domain"},
    "clock": set(),
    "engines": {"protocol", "domain", "settings"},
    "service": {"service", "clock", "metrics", "ports", "domain"},
    "aws": {"aws", "clock", "metrics", "ports", "domain"},
    "processes": {"processes", "clock", "engines", "settings", "protocol", "domain"},
    "models": {"models", "domain"},
    "child": {"child", "models", "protocol", "domain"},
    "settings": {"domain"},
    "logs": {"domain"},
    "ports": {"clock", "domain"},
    "metrics": {"domain"},
    "protocol": {"domain"},
    "domain": {"domain"},
}
HEAVY = {
    "pymupdf",
    "fitz",
    "PIL",
    "cv2",
    "numpy",
    "rapidocr",
    "openvino",
    "onnxruntime",
    "paddle",
    "paddleocr",
    "paddlex",
    "huggingface_hub",
    "modelscope",
    "yaml",
}
NOT_PURE = HEAVY | {
    "asyncio",
    "os",
    "sys",
    "io",
    "time",
    "pathlib",
    "logging",
    "structlog",
    "socket",
    "subprocess",
    "threading",
    "boto3",
    "botocore",
    "aiobotocore",
    "aiohttp",
    "pydantic_settings",
}
MOST_MODULE_LINES, MOST_FUNCTION_LINES = 350, 60


def layer(path: Path) -> str:
    return path.relative_to(ROOT / "consumer").with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yield the full names of all that is imported anywhere in the module, also for types or late."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name where they start"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_of_the_package(name: str) -> bool:
    """Whether `consumer.<name>` is a module or folder, and not a value such as `__version__`."""
    path = ROOT / "consumer" / name
    return path.is_dir() or path.with_suffix(".py").is_file()


parametrized = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


@parametrized
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("consumer.")}
    assert {name for name in ours if is_of_the_package(name)} <= ALLOWED[layer(path)]


@parametrized
def test_heavy_libraries_are_imported_in_children_alone_and_the_domain_is_pure(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(path)}
    if layer(path) not in {"child", "models"}:
        assert not libraries & HEAVY
    if layer(path) == "domain":
        assert not libraries & NOT_PURE


@parametrized
def test_modules_and_functions_are_small_enough_to_read(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_MODULE_LINES
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
    }
    assert not long


def test_the_table_of_layers_lists_what_there_is() -> None:
    assert {layer(path) for path in MODULES} == set(ALLOWED)


def test_the_consumer_and_the_command_line_load_no_heavy_library() -> None:
    program = "import sys, consumer.app, consumer.cli; print(*sys.modules)"
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    loaded = {name.split(".")[0] for name in child.stdout.split()}
    assert {"consumer", "boto3", "typer"} <= loaded
    assert not loaded & HEAVY
