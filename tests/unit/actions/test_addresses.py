"""Actions leave for public addresses alone, unless the endpoint may be inside the network."""

from __future__ import annotations

import ipaddress

import pytest

from moodline.actions.addresses import is_allowed

PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
INSIDE = [
    "127.0.0.1",
    "127.9.9.9",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]
NEVER = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "239.1.1.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "::7f00:1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_need_permission(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), allow_private=False)
    assert is_allowed(ipaddress.ip_address(address), allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_addresses_of_nobody_are_never_allowed(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address), allow_private=True)
