"""The code keeps its shape: allowed imports, heavy libraries outside the parent, sizes."""

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
    "cli": {
        *("cli", "app", "doctor", "engines", "models", "settings", "logs", "service", "outputs", "domain"),
        *("ports", "clock", "operations", "viewer"),
    },
    "operations": {"app", "aws", "clock", "processes", "service", "settings", "domain"},
    "app": {
        *("aws", "clock", "domain", "engines", "health", "logs", "metrics", "ports", "processes"),
        *("protocol", "outputs", "service", "settings"),
    },
    "doctor": {"aws", "doctor", "domain", "engines", "models", "processes", "settings"},
    "health": {"domain"},
    "clock": set(),
    "engines": {"models", "protocol", "domain", "settings"},
    "service": {"service", "clock", "metrics", "ports", "domain"},
    "aws": {"aws", "clock", "metrics", "ports", "domain"},
    "framing": {"protocol", "domain"},
    "processes": {"processes", "clock", "framing", "engines", "settings", "ports", "protocol", "domain"},
    "models": {"models", "domain"},
    "child": {"child", "framing", "models", "protocol", "domain"},
    "settings": {"domain"},
    "logs": {"domain"},
    "ports": {"clock", "domain"},
    "metrics": {"domain"},
    "protocol": {"domain"},
    "outputs": {"outputs", "domain"},
    "viewer": {"viewer", "processes", "service", "ports", "settings", "outputs", "domain"},
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
MOST_MODULE_LINES, MOST_FUNCTION_LINES, MOST_CLASS_LINES = 350, 40, 150


def package(path: Path) -> str:
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
    assert {name for name in ours if is_of_the_package(name)} <= ALLOWED[package(path)]


@parametrized
def test_heavy_libraries_are_imported_in_children_alone_and_the_domain_is_pure(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(path)}
    if package(path) not in {"child", "models"}:
        assert not libraries & HEAVY
    if package(path) == "domain":
        assert not libraries & NOT_PURE


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> int:
    """Lines of the body that are neither blank, nor a comment, nor part of the docstring."""
    first = node.body[1] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body[0]
    assert node.end_lineno is not None
    body = lines[first.lineno - 1 : node.end_lineno]
    return sum(not line.strip().startswith("#") for line in body if line.strip())


@parametrized
def test_modules_classes_and_functions_are_small_enough_to_read(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_MODULE_LINES
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert code_lines(node, source.splitlines()) <= MOST_FUNCTION_LINES, node.name
        elif isinstance(node, ast.ClassDef):
            assert code_lines(node, source.splitlines()) <= MOST_CLASS_LINES, node.name


def test_the_table_lists_all_packages() -> None:
    assert {package(path) for path in MODULES} == set(ALLOWED)


def test_the_consumer_and_the_command_line_load_no_heavy_library() -> None:
    program = "import sys, consumer.app, consumer.cli; print(*sys.modules)"
    child = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    loaded = {name.split(".")[0] for name in child.stdout.split()}
    assert {"consumer", "boto3", "typer"} <= loaded
    assert not loaded & HEAVY
