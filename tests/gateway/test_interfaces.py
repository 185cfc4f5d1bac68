"""Where the public port is opened: at no address on a sandbox's network."""

from __future__ import annotations

from gateway.interfaces import addresses, open_hosts


def test_every_address_but_those_of_the_closed_network() -> None:
    everywhere = "0.0.0.0"
    assert "127.0.0.1" in addresses()
    assert open_hosts(everywhere, "") == [everywhere]
    assert "127.0.0.1" in open_hosts(everywhere, "192.0.2.0/24")
    assert not [host for host in open_hosts(everywhere, "127.0.0.0/8") if host.startswith("127.")]
    assert open_hosts(everywhere, "0.0.0.0/0") == []


def test_one_that_is_named_is_taken_as_it_is() -> None:
    assert open_hosts("127.0.0.1", "127.0.0.0/8") == ["127.0.0.1"]
