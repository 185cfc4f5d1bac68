"""One spelling for each host, and none for an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.egress.hosts import BadHost, Hosts, host_of, pattern_of


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("pypi.org", "pypi.org"),
        ("PyPI.org", "pypi.org"),
        ("pypi.org.", "pypi.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a-b.c1.example", "a-b.c1.example"),
        ("1.2.3.example", "1.2.3.example"),
        (f"{'a' * 63}.example", f"{'a' * 63}.example"),
    ],
)
def test_a_name_has_one_spelling(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "localhost",
            "gateway",
            "pypi..org",
            ".pypi.org",
            "pypi.org..",
            "-a.org",
            "a-.org",
            "a_b.org",
        ),
        *(
            "10.0.0.1",
            "169.254.169.254",
            "127.1",
            "0x7f.1",
            "1.2.3.0x4",
            "2130706433",
            "0177.0.0.1",
            "1.2.3.4.",
        ),
        *("[::1]", "::1", "fe80::1%eth0", "[::ffff:10.0.0.1]", "a.example.0x"),
        *(
            "user@pypi.org",
            "pypi.org:443",
            "pypi.org/x",
            "pypi.org?x",
            "pypi.org#x",
            "pypi.org\\x",
            "pypi.org%2e",
        ),
        *(
            "bücher.example",
            "pypi\u3002org",
            "\uff50ypi.org",
            "pypi.org\n",
            " pypi.org",
            "pypi.org\x00",
            "pypi\t.org",
        ),
        *(f"{'a' * 64}.example", ".".join(["a" * 49] * 6), "*.pypi.org"),
    ],
)
def test_all_else_is_no_host(text: str) -> None:
    with pytest.raises(BadHost):
        host_of(text)


@given(st.text(max_size=300))
def test_what_is_a_host_is_its_own_spelling_and_plain(text: str) -> None:
    try:
        host = host_of(text)
    except BadHost:
        return
    assert host_of(host) == host
    assert set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert len(host) <= 253


def test_a_pattern_is_of_what_is_below_and_not_of_the_name_itself() -> None:
    hosts = Hosts(map(pattern_of, ["*.GitHubusercontent.com", "pypi.org"]))
    for host in ("raw.githubusercontent.com", "a.b.githubusercontent.com", "pypi.org"):
        assert host in hosts
    for host in (
        "githubusercontent.com",
        "evilgithubusercontent.com",
        "files.pypi.org",
        "org",
        "com",
        "pypi.org.evil.com",
    ):
        assert host not in hosts


@pytest.mark.parametrize(
    "text", ["*", "*.com", "a.*.com", "**.example.com", "*.10.0.0.1", "*example.com", ""]
)
def test_a_pattern_that_is_too_wide_or_none_is_refused(text: str) -> None:
    with pytest.raises(BadHost):
        pattern_of(text)
