"""What Markdown says is seen in Chromium: the sanitiser is a browser's, so only a browser shows what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from tests.e2e.people import People

pytestmark = pytest.mark.e2e

TEXT = """Echo 3. three
4. four

- [x] done
- [ ] not

| left | middle | right |
| :-- | :-: | --: |
| 1 | 2 | 3 |"""


@pytest.mark.parametrize("again", [False, True], ids=["streamed", "read again"])
async def test_lists_keep_their_numbers_and_ticks_and_tables_their_sides(people: People, again: bool) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask(TEXT)
    if again:
        await ada.page.reload()
    await expect(ada.prose.locator("ol")).to_have_js_property("start", 3)
    ticks = ada.prose.get_by_role("checkbox")
    await expect(ticks).to_have_count(2)
    await expect(ticks.nth(0)).to_be_checked()
    await expect(ticks.nth(1)).not_to_be_checked()
    await expect(ada.prose.locator("td").nth(1)).to_have_css("text-align", "center")
    await expect(ada.prose.locator("td").nth(2)).to_have_css("text-align", "right")
