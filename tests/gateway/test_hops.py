"""Headers between two neighbours."""

from gateway.hops import HOP_BY_HOP, hops_of


def test_what_connection_names_is_added_in_lower_case() -> None:
    assert hops_of([]) == HOP_BY_HOP
    assert hops_of(["close, X-Own", ",  ", "keep-alive"]) == HOP_BY_HOP | {"close", "x-own"}
