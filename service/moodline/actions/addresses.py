"""Which addresses actions may go to, checked when the connection is made.

A name is resolved once, every address that it has is judged, and the connection goes to one of
these very addresses: a name that answers with a public address first and a private one later
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

import httpcore2

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""From host and port to addresses, at least one; raises OSError if there is none."""

_NEVER: Final = frozenset(
    map(
        ipaddress.ip_address,
        ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)
"""Where clouds tell machines their secrets, outside of link-local addresses: Alibaba Cloud, Azure,
Oracle Cloud, AWS and Google Cloud over IPv6. Source: their manuals, "instance metadata"."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Source: RFC 6052, section 2.1."""


class AddressRefusedError(OSError):
    """The host is, or resolves to, an address that actions may not go to."""


def is_allowed(address: Address, *, allow_private: bool) -> bool:
    """Return whether actions may go to an address.

    Never allowed are link-local addresses and the others where clouds serve metadata, multicast,
    reserved and unspecified ones. Private ones, which include loopback, are if `allow_private`.
    An IPv6 address that stands for an IPv4 one is judged as that one.
    """
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_allowed(inner, allow_private=allow_private)
    if address in _NEVER or address.is_link_local or address.is_multicast:
        return False
    if address.is_loopback:
        return allow_private
    if address.is_unspecified or address.is_reserved:
        return False
    return address.is_global or allow_private


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that traffic to an IPv6 address ends at, if that is so."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host as the system knows them.

    Raises:
        OSError: If it has none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses alone."""

    def __init__(self, *, allow_private: bool, resolve: Resolve = resolve) -> None:
        """Take the policy.

        Args:
            allow_private: See `is_allowed`.
            resolve: Another resolver; addresses that are written out come through it too.
        """
        self._allow_private = allow_private
        self._resolve = resolve
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as the base class has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of a host that answers; each gets its part of the time.

        Raises:
            AddressRefusedError: If one of its addresses is not allowed.
            httpcore2.ConnectError: If it has no address, or none answers.
            httpcore2.ConnectTimeout: If none answers in time.
        """
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the name cannot be resolved") from error
        for address in addresses:
            if not is_allowed(ipaddress.ip_address(address), allow_private=self._allow_private):
                raise AddressRefusedError("the address is not allowed")
        part_s = None if timeout is None else timeout / max(1, len(addresses))
        last_error: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, part_s, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last_error = error
        raise last_error
