"""Which addresses a network root may be read from: public ones, and others only where that root's setting allows them."""

import socket
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from schemas.errors import Unavailable


class Kind(Enum):
    """What an address is good for; the value is how an error calls it."""

    PUBLIC = "a public address"
    PRIVATE = "a private, loopback or reserved address"
    LINK_LOCAL = "a link-local address or a cloud's metadata service"
    NOWHERE = "a multicast or unspecified address"


_METADATA = frozenset(map(ip_address, ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")))
"""Azure, Alibaba, Oracle and AWS answer here with what a machine may do; they and others also at 169.254.169.254."""

_NAT64 = IPv6Network("64:ff9b::/96")


def kind(address: str) -> Kind:
    """What the address is; of an IPv6 address that stands for an IPv4 address, what that is. Raises ValueError."""
    found = _meant(ip_address(address))
    if found.is_multicast or found.is_unspecified:
        return Kind.NOWHERE
    if found.is_link_local or found in _METADATA:
        return Kind.LINK_LOCAL
    site_local = isinstance(found, IPv6Address) and found.is_site_local  # given up by RFC 3879, routed by some
    if not found.is_global or found.is_reserved or site_local:
        return Kind.PRIVATE
    return Kind.PUBLIC


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address behind an IPv6 address that is mapped (RFC 4291), 6to4 (RFC 3056), Teredo (4380) or NAT64 (6052)."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def is_address(host: str) -> bool:
    """Whether a URL's host is an address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class CheckedResolver(AbstractResolver):
    """Resolves a root's host, and gives no address that the root may not be read from.

    Who connects takes the addresses from here, so there is no moment between check and connection in which the name could
    come to mean another place. A name never leads to a link-local address: whoever means one writes the address.
    """

    def __init__(self, root: str, *, private: bool, resolver: AbstractResolver | None = None) -> None:
        self._root = root
        self._allowed = {Kind.PUBLIC, Kind.PRIVATE} if private else {Kind.PUBLIC}
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises Unavailable when one of the addresses is not allowed, OSError when there is none."""
        if self._resolver is None:  # the system's, which wants a running loop
            self._resolver = ThreadedResolver()
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            what = kind(each["host"])
            if what not in self._allowed:
                leave = (
                    ""
                    if what is not Kind.PRIVATE
                    else "; if it lies in your own network, list the root in SAFELIGHT_PRIVATE_ROOTS"
                )
                raise Unavailable(self._root, f"its host resolves to {each['host']}, {what.value}{leave}")
        return found

    async def close(self) -> None:
        """Let go of the system's resolver."""
        if self._resolver is not None:
            await self._resolver.close()


def check_host(host: str, *, private: bool) -> None:
    """An address that a root's setting names itself; of a name, its addresses are checked. Raises ValueError, in words."""
    if not is_address(host):
        if host.replace(".", "").isdigit():  # 127.1 and 2130706433 are 127.0.0.1 to some
            raise ValueError(f"{host} is no address: write all four numbers")
        return
    what = kind(host)
    if what is Kind.NOWHERE:
        raise ValueError(f"{host} is {what.value}")
    if what is not Kind.PUBLIC and not private:
        raise ValueError(
            f"{host} is {what.value}: if it lies in your own network, list the root in SAFELIGHT_PRIVATE_ROOTS"
        )
