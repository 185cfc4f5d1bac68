"""What ripgrep and grep say, read: names of any bytes, columns in characters."""

from __future__ import annotations

from container.files.search import Query, _by_grep, _by_ripgrep

RIPGREP = b"""{"type":"begin","data":{"path":{"text":"./a.py"}}}
{"type":"match","data":{"path":{"text":"./a.py"},"lines":{"text":"  Needle = 1\\r\\n"},"line_number":2,\
"absolute_offset":4,"submatches":[{"match":{"text":"Needle"},"start":2,"end":8}]}}
{"type":"match","data":{"path":{"bytes":"Li//"},"lines":{"text":"\xc3\xa9 needle\\n"},"line_number":1,\
"absolute_offset":0,"submatches":[{"match":{"text":"needle"},"start":3,"end":9}]}}
{"type":"match","data":{"path":{"text":"./cut"},"lines":{"text":"cut off by the lim"""
"""Of ripgrep 13.0.0, cut off."""

FOUND = [(b"./a.py", 2, "  Needle = 1", 2), (b"./\xff", 1, "é needle", 2)]


def test_ripgrep_s_lines() -> None:
    assert list(_by_ripgrep(RIPGREP)) == FOUND


def test_grep_s_lines() -> None:
    said = b"./a.py\0002:  Needle = 1\n" + b"./\xff\x001:" + "é needle\n./cut\0007:cut off".encode()
    assert list(_by_grep(said, Query("needle"))) == FOUND
