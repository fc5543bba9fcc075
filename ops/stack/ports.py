"""Ports on the loopback address that nobody listens on."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path

_LOWEST = 10_000
_TRIES = 200
_NEAR = 20


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody has it on 127.0.0.1, else the next free one."""
    return free_ports(preferred)[0]


def free_ports(*preferred: int) -> list[int]:
    """One port for each, no two alike: the preferred one where nobody has it (0: no preference), else the next free one."""
    with ExitStack() as held:
        return [_take(held, port) for port in preferred]


def _take(held: ExitStack, preferred: int) -> int:
    # Not the kernel's own choice: that lies in the range of outgoing connections, where a client that keeps calling a
    # server while it is down can get the server's port as its own and keep the server from coming back.
    outgoing = _first_outgoing()
    choices = [random.randrange(_LOWEST, outgoing) for _ in range(_TRIES)] if outgoing > _LOWEST else []  # noqa: S311 (no secret)
    # Near the preferred one, so that who looks for it finds it.
    near = range(preferred, min(preferred + _NEAR, 65_536)) if preferred else ()
    for port in (*near, *choices, 0):
        listener = socket.socket()
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections of a server that ended are no obstacle
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()  # until then another with SO_REUSEADDR may bind it too
        except OSError:
            listener.close()
            continue
        held.enter_context(listener)
        return int(listener.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def _first_outgoing() -> int:
    """The lowest port that the kernel gives to outgoing connections."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768  # Linux's default
