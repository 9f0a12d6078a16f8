"""One nftables table, `ip tallyport`, told to the kernel in its own words (netlink).

So no program is needed for it, on no machine and in no image. `nft list table ip tallyport` shows
the same as text:

    table ip tallyport {
        chain input {
            type filter hook input priority -1; policy accept;
            ip saddr 10.192.0.0/12 ct state ! established,related counter drop
        }
    }
"""

import ipaddress
import os
import socket
import struct

from infrastructure.firewall import FirewallRefused

TABLE, CHAIN = b"tallyport", b"input"
NETLINK_NETFILTER = 12
FAMILY_IP, SUBSYSTEM = 2, 10
BATCH_BEGIN, BATCH_END = 16, 17
NEW_TABLE, DELETE_TABLE, NEW_CHAIN, NEW_RULE = 0, 2, 3, 6
REQUEST, ACKNOWLEDGE, CREATE, APPEND = 0x1, 0x4, 0x400, 0x800
LOCAL_IN, BEFORE_FILTERS = 1, -1
NESTED = 0x8000
REGISTER, VERDICT_REGISTER = 1, 0
NETWORK_HEADER, SOURCE_OFFSET, ADDRESS_BYTES = 1, 12, 4
EQUAL = 0
CT_STATE, ESTABLISHED_OR_RELATED = 0, 2 | 4
DROP = 0
ERROR = 2
HEADER_BYTES = 16


def shut_out(network: ipaddress.IPv4Network) -> None:
    """Let nobody of this network begin a connection to this machine; again: the same.

    The table is replaced at once: at no moment is there none.
    """
    _send(
        # Deleting what is not there is refused, so it is made first.
        _message(NEW_TABLE, CREATE, _text(1, TABLE)),
        _message(DELETE_TABLE, 0, _text(1, TABLE)),
        _message(NEW_TABLE, CREATE, _text(1, TABLE)),
        _message(NEW_CHAIN, CREATE, _chain()),
        _message(NEW_RULE, CREATE | APPEND, _rule(network)),
    )


def remove() -> None:
    """Take the table away; again: nothing."""
    _send(
        _message(NEW_TABLE, CREATE, _text(1, TABLE)),
        _message(DELETE_TABLE, 0, _text(1, TABLE)),
    )


def _chain() -> bytes:
    hook = _number(1, LOCAL_IN) + _number(2, BEFORE_FILTERS)
    return _text(1, TABLE) + _text(3, CHAIN) + _nest(4, hook) + _text(7, b"filter")


def _rule(network: ipaddress.IPv4Network) -> bytes:
    source = _number(1, REGISTER) + _number(2, NETWORK_HEADER)
    source += _number(3, SOURCE_OFFSET) + _number(4, ADDRESS_BYTES)
    state = _number(1, REGISTER) + _number(2, CT_STATE)
    expressions = [
        _expression(b"payload", source),
        _masked(network.netmask.packed),
        _equals(network.network_address.packed),
        _expression(b"ct", state),
        _masked(struct.pack("=I", ESTABLISHED_OR_RELATED)),
        _equals(bytes(4)),
        _expression(b"counter", b""),
        _expression(
            b"immediate",
            _number(1, VERDICT_REGISTER) + _nest(2, _nest(2, _number(1, DROP))),
        ),
    ]
    return _text(1, TABLE) + _text(2, CHAIN) + _nest(4, b"".join(expressions))


def _masked(mask: bytes) -> bytes:
    """Keep these bits of what was read."""
    return _expression(
        b"bitwise",
        _number(1, REGISTER)
        + _number(2, REGISTER)
        + _number(3, len(mask))
        + _nest(4, _attribute(1, mask))
        + _nest(5, _attribute(1, bytes(len(mask)))),
    )


def _equals(value: bytes) -> bytes:
    """Go on only where it is this."""
    compared = _number(1, REGISTER) + _number(2, EQUAL) + _nest(3, _attribute(1, value))
    return _expression(b"cmp", compared)


def _expression(name: bytes, content: bytes) -> bytes:
    return _nest(1, _text(1, name) + _nest(2, content))


def _text(kind: int, content: bytes) -> bytes:
    return _attribute(kind, content + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))


def _nest(kind: int, content: bytes) -> bytes:
    return _attribute(kind | NESTED, content)


def _attribute(kind: int, content: bytes) -> bytes:
    length = 4 + len(content)
    return struct.pack("=HH", length, kind) + content + bytes(-length % 4)


def _message(kind: int, flags: int, content: bytes) -> bytes:
    """Return a message; its number is put in when it is sent."""
    return _frame(SUBSYSTEM << 8 | kind, flags | ACKNOWLEDGE, FAMILY_IP, 0, content)


def _frame(kind: int, flags: int, family: int, resource: int, content: bytes = b"") -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + content
    return struct.pack("=IHHII", HEADER_BYTES + len(body), kind, flags | REQUEST, 0, 0) + body


def _send(*messages: bytes) -> None:
    """Have all of it done, or nothing; raises `FirewallRefused`."""
    frames = [_frame(BATCH_BEGIN, 0, 0, SUBSYSTEM), *messages, _frame(BATCH_END, 0, 0, SUBSYSTEM)]
    numbered = [
        frame[:8] + struct.pack("=I", number) + frame[12:] for number, frame in enumerate(frames)
    ]
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
            kernel.settimeout(5)
            kernel.bind((0, 0))
            kernel.send(b"".join(numbered))
            heard = 0
            while heard < len(messages):
                heard += _acknowledged(kernel.recv(65_536))
    except OSError as error:
        raise FirewallRefused(
            f"the kernel refuses the rule: {error.strerror or error};"
            " it takes root, or the capability NET_ADMIN, and nf_tables"
        ) from error


def _acknowledged(answer: bytes) -> int:
    """Return how many messages were done; raises what went wrong with the first that was not."""
    done = 0
    while len(answer) > HEADER_BYTES:
        length, kind = struct.unpack_from("=IH", answer)
        if kind == ERROR:
            (code,) = struct.unpack_from("=i", answer, HEADER_BYTES)
            if code:
                raise OSError(-code, os.strerror(-code))
            done += 1
        answer = answer[(length + 3) & ~3 :]
    return done
