"""The seccomp profile of the container: what its programs call and may come to call, and nothing else.

`python -m deploy.seccomp` prints deploy/seccomp.json, which compose.yaml names. What is not listed fails with ENOSYS,
as on a kernel that does not have it: a C library that is newer than this list then takes the older call, where EPERM
would be an error to it. For the same reason it goes by families, and not by what was seen in one release of libc.

Left out of what Docker's own profile opens to a container with these capabilities: bpf, perf_event_open, quotactl,
ptrace and its like, other processes' memory, new namespaces but those of mounts and of the host's name, System V IPC,
message queues, setting clocks and scheduling classes, io_uring, keyrings, chroot, sockets of other families, and
32-bit programs.
"""

from __future__ import annotations

import json
import sys
from typing import Any

FILES = (
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
    "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
    "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat",
    "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "lchown", "lgetxattr", "link", "linkat", "listxattr",
    "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat",
    "open", "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
    "read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range",
    "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "write", "writev",
)
MEMORY = (
    "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mmap", "mprotect", "mremap", "msync",
    "munlock", "munmap",
)
PROCESSES = (
    "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "get_robust_list", "getcpu",
    "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom",
    "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "kill", "pidfd_open",
    "pidfd_send_signal", "prctl", "prlimit64", "rseq", "sched_get_priority_max", "sched_get_priority_min",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_yield", "set_robust_list",
    "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid", "setpriority", "setregid", "setresgid",
    "setresuid", "setreuid", "setrlimit", "setsid", "setuid", "sysinfo", "tgkill", "tkill", "uname", "vfork", "wait4",
    "waitid",
)
SIGNALS_AND_TIME = (
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "pause",
    "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "setitimer", "sigaltstack", "signalfd", "signalfd4",
    "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
    "timerfd_gettime", "timerfd_settime", "times",
)
WAITING = (
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2",
    "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake", "poll", "ppoll", "pselect6", "select",
)
SOCKETS = (
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
    "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
)
# What the appliance is made of: mounts, handles, being told of local changes, and the NFS server's scope.
APPLIANCE = (
    "fanotify_init", "fanotify_mark", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount",
    "name_to_handle_at", "open_by_handle_at", "open_tree", "sethostname", "umount2",
)
ALLOWED = tuple(sorted((*FILES, *MEMORY, *PROCESSES, *SIGNALS_AND_TIME, *WAITING, *SOCKETS, *APPLIANCE)))

# Only with CAP_SYS_MODULE, which compose.yaml does not give (HOLDFAST_LOAD_MODULES).
MODULES = ("finit_module", "init_module")

FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
# All of CLONE_NEW*, time and control groups as well.
_NAMESPACES = 0x7E020080
_ENOSYS = 38
# One architecture each and none of its older siblings: a 32-bit program is killed.
_ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")


def profile() -> dict[str, Any]:
    """Return the profile as Docker and Podman read it."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "archMap": [{"architecture": name, "subArchitectures": []} for name in _ARCHITECTURES],
        "syscalls": [
            _allow(ALLOWED),
            # Threads and processes, but no namespaces; clone3(2) has its flags in memory, where no filter looks, so it
            # is not allowed, and the C library uses clone(2).
            _allow(("clone",), _argument(0, "SCMP_CMP_MASKED_EQ", _NAMESPACES, 0)),
            # The NFS side's mounts and the host's name that its server goes by, and no namespace of users.
            _allow(("unshare",), _argument(0, "SCMP_CMP_EQ", _CLONE_NEWNS)),
            _allow(("unshare",), _argument(0, "SCMP_CMP_EQ", _CLONE_NEWUTS)),
            *(_allow(("socket",), _argument(0, "SCMP_CMP_EQ", number)) for number in FAMILIES.values()),
            {**_allow(MODULES), "includes": {"caps": ["CAP_SYS_MODULE"]}},
        ],
    }


def _allow(names: tuple[str, ...], *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **({"args": list(arguments)} if arguments else {})}


def _argument(index: int, operation: str, value: int, second: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": second, "op": operation}


def text() -> str:
    """Return deploy/seccomp.json."""
    return json.dumps(profile(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
