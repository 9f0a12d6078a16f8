"""A real authoritative DNS server over UDP and TCP, in the test's own loop, which may misbehave."""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

PLAIN_UDP_BYTES = 512
ALIASES_MAX = 16
TTL = 300


class DnsServer:
    """Answers for every name from `records`. What is broken says so, or says nothing."""

    def __init__(self) -> None:
        self.records: defaultdict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        self.broken: dict[str, dns.rcode.Rcode] = {}
        """Names at which the server fails."""
        self.silent: set[str] = set()
        """Names about which it never says anything."""
        self.alone: set[str] = set()
        """Names with a CNAME that it does not follow."""
        self.garbled: set[str] = set()
        """Names for which something comes back that is no DNS message."""
        self.asked: Counter[tuple[str, str]] = Counter()
        self.over_tcp = 0
        self.port = 0

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def put(self, name: str, **records: str | tuple[str, ...]) -> None:
        """Set all records of a name: `CNAME="a.b"`, `TXT=("x", "y")`."""
        self.records[name] = {
            kind: (values,) if isinstance(values, str) else values
            for kind, values in records.items()
        }

    def remove(self, *names: str) -> None:
        for name in names:
            self.records.pop(name, None)

    def reply(self, wire: bytes, *, over_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[(name, kind)] += 1
        self.over_tcp += over_tcp
        if name in self.silent:
            return None
        if name in self.garbled:
            return wire[:2] + b"\xff" * 9
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        if name in self.broken:
            answer.set_rcode(self.broken[name])
        else:
            self._fill(answer, name, kind)
        room = max(query.payload, PLAIN_UDP_BYTES)
        if not over_tcp and len(answer.to_wire(max_size=65535)) > room:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        return answer.to_wire(max_size=65535)

    def _fill(self, answer: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(ALIASES_MAX):
            here = self.records.get(name)
            if here is None:
                if not any(each.endswith(f".{name}") for each in self.records):
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                return
            found = "CNAME" if "CNAME" in here else kind
            if found in here:
                rrset = answer.find_rrset(
                    answer.answer,
                    dns.name.from_text(name),
                    dns.rdataclass.IN,
                    dns.rdatatype.from_text(found),
                    create=True,
                )
                for value in here[found]:
                    rrset.update(_rrset(name, found, value))
            if found == kind or name in self.alone:
                return
            name = here["CNAME"][0].lower()


def _rrset(name: str, kind: str, value: str) -> dns.rrset.RRset:
    text = value
    if kind == "TXT":
        parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [""]
        text = " ".join(
            '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in parts
        )
    elif kind == "CNAME":
        text = f"{value}."
    return dns.rrset.from_text(name, TTL, "IN", kind, text)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.reply(data, over_tcp=False)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


async def _serve(
    server: DnsServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = int.from_bytes(await reader.readexactly(2))
                reply = server.reply(await reader.readexactly(size), over_tcp=True)
                if reply is not None:
                    writer.write(len(reply).to_bytes(2) + reply)
                    await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def running_dns_server() -> AsyncIterator[DnsServer]:
    """Start one on a port that is free for both UDP and TCP."""
    server = DnsServer()
    loop = asyncio.get_running_loop()
    while True:
        datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(server), local_addr=("127.0.0.1", 0)
        )
        server.port = datagrams.get_extra_info("sockname")[1]
        try:
            streams = await asyncio.start_server(
                lambda reader, writer: _serve(server, reader, writer), "127.0.0.1", server.port
            )
        except OSError:  # taken for TCP
            datagrams.close()
            continue
        break
    try:
        yield server
    finally:
        datagrams.close()
        streams.close()
        await streams.wait_closed()
