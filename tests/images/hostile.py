"""Tries what no container may, and says of each try in one line of JSON whether it succeeded.

MODE chooses: `tries` (everything that is over at once), of these only `targets`, or what only
limits stop: `forks`, `memory` and `disk`. TARGETS names addresses that must not be reached, and
some that may be.
"""

import contextlib
import ctypes
import json
import os
import resource
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

Attempt = Callable[[], object]

CONNECT_SECONDS = 2.0
FORKS = 2000
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_REMOUNT, MS_BIND = 32, 4096
INIT_MODULE, BPF = 175, 321
RESTART = 0x01234567
SCRATCH = "/tmp/hostile"


def say(name: str, *, succeeded: bool, why: str = "") -> None:
    print(json.dumps({"try": name, "succeeded": succeeded, "why": why}), flush=True)


def attempt(name: str, work: Attempt) -> None:
    try:
        work()
    except (OSError, AttributeError, ValueError) as error:  # a kernel may not even know of it
        say(name, succeeded=False, why=f"{type(error).__name__}: {error}")
    else:
        say(name, succeeded=True)


def write(path: str, text: str = "1") -> Attempt:
    def work() -> None:
        Path(path).write_text(text)

    return work


def read(path: str) -> Attempt:
    def work() -> None:
        with Path(path).open("rb") as file:
            if not file.read(1):
                raise OSError("it is empty")

    return work


def libc(function: str, *arguments: object) -> Attempt:
    def work() -> None:
        library = ctypes.CDLL(None, use_errno=True)
        if getattr(library, function)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), function)

    return work


def open_socket(family: int, kind: int, protocol: int = 0) -> Attempt:
    return lambda: socket.socket(family, kind, protocol).close()


def connect_unix(path: str) -> Attempt:
    def work() -> None:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(path)

    return work


def run_from_scratch() -> None:
    copy = Path(f"{SCRATCH}-program")
    copy.write_bytes(Path("/python/bin/python3").read_bytes()[: 1 << 20])
    copy.chmod(0o755)
    # Where it works it takes our place, and no line is written any more.
    os.execv(copy, ["program"])


def find_block_devices() -> None:
    found = [each.path for each in os.scandir("/dev") if stat.S_ISBLK(each.stat().st_mode)]
    if not found:
        raise OSError("there is none")


def find_sockets() -> None:
    for folder, _folders, files in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for file in files:
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK((Path(folder) / file).lstat().st_mode):
                    return
    raise OSError("there is none")


def find_strangers() -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if command and b"init" not in command and b"server.py" not in command:
                    return
    raise OSError("there is none")


def find_secrets() -> None:
    harmless = {"TALLYPORT_REPLICA_ID", "TALLYPORT_DEPLOYMENT_ID"}
    if not [name for name in os.environ if name.startswith("TALLYPORT_") and name not in harmless]:
        raise OSError("there is none")


def open_by_handle() -> None:
    """Open the root of whatever file system is below, past every mount."""
    root = ctypes.create_string_buffer(struct.pack("IiQ", 8, 1, 2))
    mount = os.open("/etc/hosts", os.O_RDONLY)
    library = ctypes.CDLL(None, use_errno=True)
    if library.open_by_handle_at(mount, root, os.O_RDONLY) < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")


def add_a_route() -> None:
    """Ask the kernel for another way out, as `ip route add default` does."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        gateway = struct.pack("HHI", 8, 5, 0x0101A8C0)
        route = struct.pack("BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0)
        length = 16 + len(route) + len(gateway)
        kernel.send(struct.pack("IHHII", length, 24, 0x605, 1, 0) + route + gateway)
        error = struct.unpack("i", kernel.recv(4096)[16:20])[0]
    if error:
        raise OSError(-error, "add a route")


def raise_a_limit(limit: int) -> Attempt:
    def work() -> None:
        resource.setrlimit(limit, (resource.getrlimit(limit)[1] + 1,) * 2)

    return work


def tries() -> None:
    write(SCRATCH)()
    attempt("write to /", write("/owned"))
    attempt("write to the program", write("/app/server.py"))
    attempt("write to /etc/passwd", write("/etc/passwd", "root::0:0::/:/bin/sh"))
    attempt("write to /dev", write("/dev/owned"))
    attempt("change core_pattern", write("/proc/sys/kernel/core_pattern", "|/tmp/x"))
    attempt("change ip_forward", write("/proc/sys/net/ipv4/ip_forward"))
    attempt("press sysrq", write("/proc/sysrq-trigger", "h"))
    attempt("change uevent_helper", write("/sys/kernel/uevent_helper", "/tmp/x"))
    attempt("leave the cgroup", write("/sys/fs/cgroup/cgroup.procs", "0"))
    attempt("leave the memory cgroup", write("/sys/fs/cgroup/memory/cgroup.procs", "0"))
    attempt("lift the memory limit", write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "-1"))
    attempt("lift the memory limit (2)", write("/sys/fs/cgroup/memory.max", "max"))
    attempt("read kernel memory", read("/proc/kcore"))
    attempt("read kernel keys", read("/proc/keys"))
    attempt("read /dev/mem", read("/dev/mem"))
    attempt("read the kernel's log", read("/dev/kmsg"))
    attempt("find a disk", find_block_devices)
    attempt("make a disk", lambda: os.mknod(f"{SCRATCH}-disk", stat.S_IFBLK | 0o600, 2048))
    attempt("make a device", lambda: os.mknod(f"{SCRATCH}-mem", stat.S_IFCHR | 0o600, 257))
    attempt("become root", lambda: os.setuid(0))
    attempt("become root's group", lambda: os.setgid(0))
    attempt("join root's groups", lambda: os.setgroups([0]))
    attempt("give a file to root", lambda: os.chown(SCRATCH, 0, 0))
    attempt("chroot", lambda: os.chroot("/tmp"))
    attempt("mount a tmpfs", libc("mount", b"none", b"/tmp", b"tmpfs", 0, None))
    attempt("mount /proc anew", libc("mount", b"none", b"/tmp", b"proc", 0, None))
    attempt("bind /", libc("mount", b"/", b"/tmp", None, MS_BIND, None))
    attempt("make / writable", libc("mount", None, b"/", None, MS_REMOUNT, None))
    attempt("unmount /proc/keys", libc("umount", b"/proc/keys"))
    attempt("change the host's name", lambda: socket.sethostname("evil"))
    attempt("change the clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
    attempt("go first", lambda: os.nice(-5))
    attempt("take swap away", libc("swapoff", b"/dev/sda1"))
    attempt("open more files", raise_a_limit(resource.RLIMIT_NOFILE))
    attempt("start more processes", raise_a_limit(resource.RLIMIT_NPROC))
    attempt("write a core", raise_a_limit(resource.RLIMIT_CORE))
    attempt("a raw socket", open_socket(socket.AF_INET, socket.SOCK_RAW, 1))
    attempt("a packet socket", open_socket(socket.AF_PACKET, socket.SOCK_RAW))
    attempt("docker's socket", connect_unix("/var/run/docker.sock"))
    attempt("docker's socket in /run", connect_unix("/run/docker.sock"))
    attempt("find a socket", find_sockets)
    attempt("see others' processes", find_strangers)
    attempt("find the platform's secrets", find_secrets)
    try_the_kernel()
    reach_targets()
    attempt("run what it wrote", run_from_scratch)
    say("all of it", succeeded=False)


def targets() -> None:
    reach_targets()
    say("all of it", succeeded=False)


def try_the_kernel() -> None:
    attempt("unshare the network", libc("unshare", CLONE_NEWNET))
    attempt("unshare mounts", libc("unshare", CLONE_NEWNS))
    attempt("unshare users", libc("unshare", CLONE_NEWUSER))
    attempt("load a module", libc("syscall", INIT_MODULE, None, 0, b""))
    attempt("load a program into the kernel", libc("syscall", BPF, 5, None, 0))
    attempt("open a file by its number", open_by_handle)
    attempt("restart the machine", libc("reboot", RESTART))
    attempt("reach the hardware's ports", libc("iopl", 3))
    attempt("write down what others run", libc("acct", SCRATCH.encode()))
    attempt("add a route", add_a_route)


def reach_targets() -> None:
    """Connect as everybody does, and past the routes: as if the address were on our own network.

    The kernel believes that of a socket that is bound to a device and told not to route, and a
    host answers for each of its addresses on every network it is on.
    """

    def reach(name: str, host: str, port: int) -> None:
        attempt(name, lambda: socket.create_connection((host, port), CONNECT_SECONDS).close())

    def reach_past_routes(name: str, host: str, port: int) -> None:
        def work() -> None:
            with socket.socket() as asking:
                asking.settimeout(CONNECT_SECONDS)
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
                asking.connect((host, port))

        attempt(f"{name}, past the routes", work)

    threads = [
        threading.Thread(target=way, args=target)
        for target in json.loads(os.environ.get("TARGETS", "[]"))
        for way in (reach, reach_past_routes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def forks() -> None:
    count = 0
    try:
        while count < FORKS:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            count += 1
    except OSError as error:
        say("fork without end", succeeded=False, why=f"{count}: {error}")
    else:
        say("fork without end", succeeded=True)


def memory() -> None:
    say("begin", succeeded=False)
    held = []
    while True:
        held.append(bytearray(1 << 20))
        if len(held) == 4096:
            say("hold 4 GiB", succeeded=True)


def disk() -> None:
    written = 0
    try:
        with Path(SCRATCH).open("wb", buffering=0) as file:
            while written < 1 << 30:
                written += file.write(b"x" * (1 << 20))
    except OSError as error:
        say("fill the disk", succeeded=False, why=f"{written}: {error}")
    else:
        say("fill the disk", succeeded=True)


if __name__ == "__main__":
    modes = {"tries": tries, "targets": targets, "forks": forks, "memory": memory, "disk": disk}
    modes[os.environ["MODE"]]()
    time.sleep(600)
