"""Which addresses may be read from."""

import pytest

from agents.photo.address import CheckedResolver, Kind, check_host, kind
from schemas.errors import Unavailable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((address, Kind.PUBLIC) for address in ("1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1")),
        *((address, Kind.PRIVATE) for address in ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1")),
        *((address, Kind.PRIVATE) for address in ("127.0.0.1", "127.9.9.9", "::1", "100.64.0.1", "0.1.2.3")),
        *((address, Kind.PRIVATE) for address in ("240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1")),
        *((address, Kind.PRIVATE) for address in ("fd00::1", "fc00::1", "fec0::1", "2001:db8::1", "::7f00:1")),
        *((address, Kind.LINK_LOCAL) for address in ("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0")),
        *((address, Kind.LINK_LOCAL) for address in ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")),
        *((address, Kind.NOWHERE) for address in ("0.0.0.0", "::", "224.0.0.1", "239.1.1.1", "ff02::1")),
        # an IPv4 address in the dress of an IPv6 address
        ("::ffff:169.254.169.254", Kind.LINK_LOCAL),
        ("::ffff:10.0.0.1", Kind.PRIVATE),
        ("::ffff:127.0.0.1", Kind.PRIVATE),
        ("::ffff:0.0.0.0", Kind.NOWHERE),
        ("64:ff9b::a9fe:a9fe", Kind.LINK_LOCAL),
        ("64:ff9b::a00:1", Kind.PRIVATE),
        ("2002:a9fe:a9fe::1", Kind.LINK_LOCAL),
        ("2002:7f00:1::", Kind.PRIVATE),
        ("2001:0:1.1.1.1:0:0:5601:5601".replace("1.1.1.1", "101:101"), Kind.LINK_LOCAL),
    ],
)
def test_an_address_is_what_it_stands_for(address, expected):
    assert kind(address) is expected


@pytest.mark.parametrize(
    ("private", "allowed"), [(False, {Kind.PUBLIC}), (True, {Kind.PUBLIC, Kind.PRIVATE, Kind.LINK_LOCAL})]
)
def test_an_address_in_a_setting_is_taken_where_the_root_allows_it(private, allowed):
    examples = {"1.1.1.1": Kind.PUBLIC, "10.0.0.1": Kind.PRIVATE, "fe80::1": Kind.LINK_LOCAL, "0.0.0.0": Kind.NOWHERE}
    for host, what in examples.items():
        if what in allowed:
            check_host(host, private=private)
        else:
            with pytest.raises(ValueError, match=what.value):
                check_host(host, private=private)


def test_a_name_in_a_setting_is_checked_when_it_is_resolved():
    check_host("localhost", private=False)


class Answer:
    """A resolver that knows one name."""

    def __init__(self, *addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=0):
        return [
            {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
            for each in self.addresses
        ]

    async def close(self):
        pass


@pytest.mark.parametrize(
    ("address", "private", "allowed"),
    [
        ("1.1.1.1", False, True),
        ("10.0.0.1", False, False),
        ("10.0.0.1", True, True),
        ("::ffff:10.0.0.1", False, False),
        ("169.254.169.254", True, False),
        ("fe80::1", True, False),
        ("0.0.0.0", True, False),
    ],
)
async def test_a_name_leads_only_where_its_root_may_be_read(address, private, allowed):
    resolver = CheckedResolver("root", private=private, resolver=Answer("1.1.1.1", address))
    if allowed:
        assert [each["host"] for each in await resolver.resolve("name")] == ["1.1.1.1", address]
    else:
        with pytest.raises(Unavailable, match="its host resolves to") as caught:
            await resolver.resolve("name")
        assert ("SAFELIGHT_PRIVATE_ROOTS" in caught.value.detail) is (not private)


async def test_every_time_anew():
    answer = Answer("1.1.1.1")
    resolver = CheckedResolver("root", private=False, resolver=answer)
    await resolver.resolve("name")
    answer.addresses = ("127.0.0.1",)
    with pytest.raises(Unavailable):
        await resolver.resolve("name")


async def test_the_systems_names_are_resolved():
    resolver = CheckedResolver("root", private=True)
    assert {each["host"] for each in await resolver.resolve("localhost")} <= {"127.0.0.1", "::1"}
    await resolver.close()
