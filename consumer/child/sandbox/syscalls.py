"""Numbers of system calls on x86-64 and arm64: asm/unistd_64.h and asm-generic/unistd.h of Linux."""

from typing import Final

#: Of a call on x86-64, and on arm64; None: it has none.
Numbers = tuple[int | None, int | None]

# fmt: off
#: All that a process needs that computes on files which are open.
HARMLESS: Final[dict[str, Numbers]] = {
    # Memory.
    "brk": (12, 214), "madvise": (28, 233), "membarrier": (324, 283), "mmap": (9, 222),
    "mprotect": (10, 226), "mremap": (25, 216), "munmap": (11, 215),
    # Files that are open, or that Landlock lets it open.
    "access": (21, None), "close": (3, 57), "close_range": (436, 436), "copy_file_range": (326, 285),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "faccessat": (269, 48),
    "faccessat2": (439, 439), "fadvise64": (221, 223), "fallocate": (285, 47), "fdatasync": (75, 83),
    "flock": (73, 32), "fstat": (5, 80), "fstatfs": (138, 44), "fsync": (74, 82), "ftruncate": (77, 46),
    "getcwd": (79, 17), "getdents": (78, None), "getdents64": (217, 61), "lseek": (8, 62),
    "lstat": (6, None), "newfstatat": (262, 79), "open": (2, None), "openat": (257, 56),
    "pread64": (17, 67), "preadv": (295, 69), "pwrite64": (18, 68), "pwritev": (296, 70), "read": (0, 63),
    "readlink": (89, None), "readlinkat": (267, 78), "readv": (19, 65), "sendfile": (40, 71),
    "stat": (4, None), "statfs": (137, 43), "statx": (332, 291), "write": (1, 64), "writev": (20, 66),
    # Waiting, and pipes of its own.
    "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22), "epoll_wait": (232, None), "eventfd": (284, None), "eventfd2": (290, 19),
    "pause": (34, None), "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None), "ppoll": (271, 73),
    "pselect6": (270, 72), "select": (23, None),
    # The socket that it has.
    "getsockopt": (55, 209), "recvfrom": (45, 207), "recvmsg": (47, 212), "sendmsg": (46, 211),
    "sendto": (44, 206), "shutdown": (48, 210),
    # Time.
    "clock_getres": (229, 114), "clock_gettime": (228, 113), "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169), "nanosleep": (35, 101), "time": (201, None), "times": (100, 153),
    # Threads.
    "arch_prctl": (158, None), "exit": (60, 93), "exit_group": (231, 94), "futex": (202, 98),
    "futex_waitv": (449, 449), "get_robust_list": (274, 100), "getcpu": (309, 168), "gettid": (186, 178),
    "restart_syscall": (219, 128), "rseq": (334, 293), "sched_getaffinity": (204, 123),
    "sched_getattr": (315, 275), "sched_getparam": (143, 121), "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126), "sched_yield": (24, 124),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "wait4": (61, 260), "waitid": (247, 95),
    # Signals to itself.
    "rt_sigaction": (13, 134), "rt_sigpending": (127, 136), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "rt_sigsuspend": (130, 133), "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    # What it is, and where it runs.
    "getegid": (108, 177), "geteuid": (107, 175), "getgid": (104, 176), "getgroups": (115, 158),
    "getpgid": (121, 155), "getpgrp": (111, None), "getpid": (39, 172), "getppid": (110, 173),
    "getpriority": (140, 141), "getrandom": (318, 278), "getresgid": (120, 150), "getresuid": (118, 148),
    "getrlimit": (97, 163), "getrusage": (98, 165), "getsid": (124, 156), "getuid": (102, 174),
    "setrlimit": (160, 164), "sysinfo": (99, 179), "uname": (63, 160),
}

#: Those that are harmless with some arguments.
LIMITED: Final[dict[str, Numbers]] = {
    "clone": (56, 220), "clone3": (435, 435), "fcntl": (72, 25), "ioctl": (16, 29), "kill": (62, 129),
    "prctl": (157, 167), "prlimit64": (302, 261), "tgkill": (234, 131),
}

#: What the driver of a GPU needs beside that.
OF_GPUS: Final[dict[str, Numbers]] = {
    "get_mempolicy": (239, 236), "mbind": (237, 235), "memfd_create": (319, 279), "mlock": (149, 228),
    "munlock": (150, 229), "sched_setaffinity": (203, 122), "set_mempolicy": (238, 237),
}
# fmt: on

#: Higher ones are newer than these tables. Programs are told that there are none, and do without.
LAST: Final = 451
