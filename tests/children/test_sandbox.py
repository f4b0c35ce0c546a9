"""A child process that was taken over gets nothing: real ones of each kind try, and the kernel refuses.

The same acts succeed without the sandbox, so that it is the walls that are tested. Reasons of skipped tests
name the walls that this kernel does not have.
"""

import contextlib
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("render", "output", "rapidocr")
OTHER_USER = 10001
ACTING_S = 600.0

#: The errno of acts that Landlock refuses, of those that the filter of system calls does, and of rlimits.
BY_LANDLOCK = dict.fromkeys(
    (
        *(f"{file} of {name}" for file in ("environ", "maps", "mem", "fd") for name in ("parent", "sibling")),
        *(f"open {name}" for name in ("passwords", "home", "source", "page")),
        *(f"make a file in the {name}" for name in ("work folder", "folder around it")),
        *("overwrite page", "list the work folder"),
    ),
    "EACCES",
)
BY_SECCOMP = dict.fromkeys(
    (
        *(f"{act} {name}" for act in ("signal", "limits of", "trace") for name in ("parent", "sibling")),
        *(f"signal a thread of {name}" for name in ("parent", "sibling")),
        *(f"socket {family} {kind}" for family in range(1, 47) for kind in (1, 2, 3, 5)),
        *("socket pair", "connect to loopback", "connect to metadata", "connect its socket"),
        *("remove source", "run a program", "start a program", "fork"),
    ),
    "EPERM",
)
BY_LIMITS_OF_RENDERERS = {"take memory": "ENOMEM", "write a large file": "EFBIG"}
BY_LIMITS = {"take descriptors": "EMFILE", **BY_LIMITS_OF_RENDERERS}
#: Sockets that every kernel makes for every user: Unix, IPv4, netlink.
MADE_BY_ALL = {"socket pair", *(f"socket {family} 2" for family in (1, 2, 16))}
#: Outcomes without walls, where they are not `done`: there is no such program; the socket has its connection,
#: and the other end does not exist; there may be no way to the service of metadata.
UNWALLED = {
    "run a program": {"ENOENT"},
    "connect its socket": {"EISCONN", "ENOENT"},
    "connect to metadata": {"done", "ENETUNREACH", "EHOSTUNREACH"},
}


class Acted(NamedTuple):
    walls: dict[str, str]
    outcomes: dict[str, str]


#: Runs its arguments on a kernel that has no system call of this number.
OLDER = """
import errno, os, struct, sys
from consumer.child.sandbox import kernel, seccomp
number, *command = sys.argv[1:]
refused = seccomp.REFUSE | errno.ENOSYS
lines = ((0x20, 0, 0, 0), (0x15, 0, 1, int(number)), (6, 0, 0, refused), (6, 0, 0, seccomp.ALLOW))
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
seccomp.install([struct.pack("=HBBI", *line) for line in lines])
os.execv(command[0], command)
"""
#: By wall, the call without which it cannot be set, on x86-64 and arm64.
NEEDED = {"landlock": (444, 444), "seccomp": (317, 277)}


def as_user(user: int) -> dict[str, Any]:
    """Arguments of `subprocess` to run a program as this user."""
    return {} if user == os.getuid() else {"user": user, "group": user, "extra_groups": []}


def interpreter(user: int) -> tuple[str, dict[str, str]]:
    """An interpreter that this user may run, and variables with which it finds the installed packages."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = {"PYTHONPATH": next(path for path in sys.path if path.endswith("site-packages"))}
    if user == os.getuid():
        return sys.executable, {}
    for program in (sys.executable, *(f"{folder}/{name}" for folder in ("/usr/local/bin", "/usr/bin"))):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([program, "-c", "import pydantic, PIL"], env=packages, check=True, **as_user(user))
            return program, packages
    pytest.skip(f"user {user} can run no {name} here")


@functools.cache
def acted(kind: str, user: int, sandbox: str) -> Acted:
    if user != os.getuid() and os.getuid() != 0:
        pytest.skip(f"only root can start a process of user {user}")
    program, variables = interpreter(user)
    with tempfile.TemporaryDirectory(prefix="acts-") as folder:
        os.chown(folder, user, user)
        done = subprocess.run(
            [program, "-m", "tests.children.acting", kind, sandbox, folder],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": folder, "PYTHONDONTWRITEBYTECODE": "1"} | variables,
            stdout=subprocess.PIPE,
            check=True,
            timeout=ACTING_S,
            **as_user(user),
        )
    return Acted(**json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(params=sorted({os.getuid(), OTHER_USER}))
def user(request: pytest.FixtureRequest) -> int:
    uid: int = request.param
    return uid


@pytest.mark.parametrize("wall", ["landlock", "seccomp", "rlimits"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_child_is_refused_what_reaches_beyond_it(kind: str, user: int, wall: str) -> None:
    walls, outcomes = acted(kind, user, "auto")
    if walls[wall]:
        pytest.skip(f"{wall} cannot be tested on this kernel: {walls[wall]}")
    expected = {"landlock": BY_LANDLOCK, "seccomp": BY_SECCOMP, "rlimits": BY_LIMITS}[wall]
    if kind == "rapidocr":
        # It writes no file, and its memory is watched by the parent: see `test_hostile_engines.py`.
        expected = {act: number for act, number in expected.items() if act not in BY_LIMITS_OF_RENDERERS}
    elif wall == "rlimits" and user:
        # Root is not held to it.
        expected = expected | {"start a thread": "EAGAIN"}
    assert {act: outcomes[act] for act in expected} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_may_do_what_it_needs(kind: str, user: int) -> None:
    _, outcomes = acted(kind, user, "auto")
    assert outcomes["signal itself"] == "done"
    if kind == "rapidocr":
        assert outcomes["start a thread"] == "done"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_succeeds_without_the_sandbox(kind: str, user: int) -> None:
    walls, outcomes = acted(kind, user, "off")
    assert walls == {}
    for act, number in outcomes.items():
        # A kernel need not have all kinds of sockets, and some are for roots outside containers.
        if act.startswith("socket ") and act not in MADE_BY_ALL:
            assert number != "EPERM" or user or not may_make_raw_sockets(), act
        else:
            assert number in UNWALLED.get(act, {"done"}), act


def may_make_raw_sockets() -> bool:
    """Whether this process has CAP_NET_RAW."""
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")
    ]
    return bool(int(line.split()[1], 16) & 1 << 13)


def on_an_older_kernel(wall: str, sandbox: str) -> "subprocess.CompletedProcess[str]":
    number = NEEDED[wall][platform.machine() == "aarch64"]
    with tempfile.TemporaryDirectory(prefix="acts-") as folder:
        acting = [sys.executable, "-m", "tests.children.acting", "render", sandbox, folder]
        return subprocess.run(
            [sys.executable, "-c", OLDER, str(number), *acting],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=ACTING_S,
        )


def test_a_kernel_without_landlock_has_the_other_walls() -> None:
    done = on_an_older_kernel("landlock", "auto")
    assert done.returncode == 0, done.stderr
    walls = json.loads(done.stdout.splitlines()[-1])["walls"]
    assert {wall for wall, why in walls.items() if why} == {"landlock"}


@pytest.mark.parametrize("wall", NEEDED)
def test_a_wall_that_is_required_and_that_the_kernel_has_not_keeps_the_consumer_from_starting(
    wall: str,
) -> None:
    done = on_an_older_kernel(wall, "require")
    assert done.returncode != 0
    assert f"BUCKET_OCR_SANDBOX=require: {wall} is not available here" in done.stderr
