"""The filter of system calls, run by an interpreter of BPF: for both architectures, on any machine."""

import errno
import struct
from collections.abc import Mapping

import pytest

from consumer.child.sandbox import seccomp, syscalls

PID = 4711
THREAD = 0x003D0F00  # what pthread_create asks for
FORK = 0x01200011  # and fork
NEW_USER = 0x10000000

#: By name: numbers on x86-64 and on arm64.
REFUSED = {
    "socket": (41, 198),
    "connect": (42, 203),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpgid": (109, 154),
    "setsid": (112, 157),
    "setuid": (105, 146),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "inotify_add_watch": (254, 27),
    "open_by_handle_at": (304, 265),
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "unlinkat": (263, 35),
    "mkdirat": (258, 34),
    "symlinkat": (266, 36),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "ioprio_set": (251, 30),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "personality": (135, 92),
    "seccomp": (317, 277),
}


def run(lines: list[bytes], number: int, *arguments: int, machine: str) -> int:
    """What the kernel does with a call."""
    data = struct.pack(
        "=IIQ6Q", number, seccomp.ARCHITECTURES[machine], 0, *arguments, *[0] * (6 - len(arguments))
    )
    at, accumulator = 0, 0
    while True:
        code, skip_if, skip_else, operand = struct.unpack("=HBBI", lines[at])
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x15:
                at += skip_if if accumulator == operand else skip_else
            case 0x25:
                at += skip_if if accumulator > operand else skip_else
            case 0x45:
                at += skip_if if accumulator & operand else skip_else
            case 0x06:
                return int(operand)
            case _:
                raise AssertionError(code)


@pytest.fixture(params=seccomp.ARCHITECTURES)
def machine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def outcome(machine: str, number: int, *arguments: int, for_gpu: bool = False) -> int:
    return run(seccomp.program(machine, PID, for_gpu=for_gpu), number, *arguments, machine=machine)


def numbers(machine: str, table: Mapping[str, syscalls.Numbers]) -> dict[str, int]:
    """Of those calls that this architecture has."""
    column = list(seccomp.ARCHITECTURES).index(machine)
    return {name: number for name, both in table.items() if (number := both[column]) is not None}


EPERM, ENOSYS = seccomp.REFUSE | errno.EPERM, seccomp.REFUSE | errno.ENOSYS


def test_calls_that_reach_beyond_the_process_are_refused(machine: str) -> None:
    refused = numbers(machine, REFUSED)
    assert {name: outcome(machine, each) for name, each in refused.items()} == dict.fromkeys(refused, EPERM)


def test_calls_that_compute_on_what_is_open_are_allowed(machine: str) -> None:
    for name, number in numbers(machine, syscalls.HARMLESS).items():
        assert outcome(machine, number) == seccomp.ALLOW, name


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("kill", (PID, 6), seccomp.ALLOW),
        ("kill", (PID - 1, 0), EPERM),
        ("kill", (0, 15), EPERM),
        ("kill", (2**64 - 1, 9), EPERM),
        ("tgkill", (PID, PID + 1, 6), seccomp.ALLOW),
        ("tgkill", (PID - 1, PID - 1, 6), EPERM),
        ("clone", (THREAD,), seccomp.ALLOW),
        ("clone", (FORK,), EPERM),
        ("clone", (THREAD | NEW_USER,), EPERM),
        ("clone3", (0,), ENOSYS),
        ("prlimit64", (0,), seccomp.ALLOW),
        ("prlimit64", (PID - 1,), EPERM),
        ("fcntl", (5, 3), seccomp.ALLOW),
        ("fcntl", (5, 8), EPERM),
        ("fcntl", (5, 10), EPERM),
        ("ioctl", (5, 0x5401), seccomp.ALLOW),
        ("ioctl", (5, 0x5412), EPERM),
        ("prctl", (15,), seccomp.ALLOW),
        ("prctl", (4, 1), EPERM),
        ("prctl", (1, 9), EPERM),
    ],
)
def test_some_calls_are_allowed_with_some_arguments(
    machine: str, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    assert outcome(machine, numbers(machine, syscalls.LIMITED)[name], *arguments) == expected


def test_a_driver_of_a_gpu_may_use_its_device_and_nothing_else(machine: str) -> None:
    its_own = {"ioctl": syscalls.LIMITED["ioctl"], **syscalls.OF_GPUS}
    for name, number in numbers(machine, its_own).items():
        assert outcome(machine, number, 5, 0xC020462A, for_gpu=True) == seccomp.ALLOW, name
    for name, number in numbers(machine, REFUSED).items():
        if name not in its_own:
            assert outcome(machine, number, for_gpu=True) == EPERM, name


@pytest.mark.parametrize("number", [syscalls.LAST + 1, 0x40000000 | 41, 2**32 - 1])
def test_a_call_that_is_newer_or_of_another_interface_does_not_exist(machine: str, number: int) -> None:
    assert run(seccomp.program(machine, PID), number, machine=machine) == ENOSYS


def test_calls_of_another_architecture_end_the_process() -> None:
    mine, other = seccomp.ARCHITECTURES
    assert run(seccomp.program(mine, PID), 0, machine=other) == seccomp.END_PROCESS


def test_the_filter_is_short_enough_for_the_kernel(machine: str) -> None:
    assert len(seccomp.program(machine, PID, for_gpu=True)) < 4096
