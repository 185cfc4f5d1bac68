"""The Files tab in Chromium: a tree, files that are shown, edited, uploaded and downloaded, with mouse and keyboard."""

from __future__ import annotations

import hashlib
import io
import os
import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Route

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e


async def with_files(ada: Person, stack: Stack, files: dict[str, bytes]) -> None:
    """A new session whose workspace has these files, and its panel open."""
    await ada.open()
    session = await ada.new_session()
    for path, content in files.items():
        url = f"{stack.url}/api/sessions/{session}/file?path={path}"
        async with stack.http.put(url, data=io.BytesIO(content), headers=stack.headers()) as response:
            assert response.status == 201, await response.text()
    await ada.see("panel-open").click()
    await expect(ada.see("tree")).to_be_visible()


async def content(stack: Stack, session: str, path: str) -> bytes:
    url = f"{stack.url}/api/sessions/{session}/file?path={path}"
    async with stack.http.get(url, headers=stack.headers()) as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def test_a_file_is_found_by_keyboard_edited_and_saved_and_a_conflict_loses_neither(
    people: People, stack: Stack
) -> None:
    ada = await people.person(viewport={"width": 1440, "height": 900})
    await with_files(
        ada, stack, {"src/app.py": b"def f():\n    return 1\n", "README.md": b"# Title\n\n- one\n"}
    )
    session, page, tree = ada.session, ada.page, ada.see("tree")
    await tree.get_by_role("treeitem", name="src").focus()
    await page.keyboard.press("ArrowRight")
    await expect(tree.get_by_role("treeitem", name="app.py")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(tree.get_by_role("treeitem", name="app.py")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(ada.see("code")).to_contain_text("return 1")
    await expect(ada.see("code").locator(".hljs-keyword").first).to_have_text("def")
    assert page.url.endswith(f"#/s/{session}/files/src/app.py")
    await ada.see("edit").click()
    await ada.see("editor").fill("mine\n")
    await page.keyboard.press("Control+s")
    await expect(ada.see("code")).to_contain_text("mine")
    assert await content(stack, session, "src/app.py") == b"mine\n"
    await ada.see("edit").click()
    await ada.see("editor").fill("mine again\n")
    url = f"{stack.url}/api/sessions/{session}/file?path=src/app.py"
    async with stack.http.put(url, data=b"the agent's\n", headers=stack.headers()) as response:
        assert response.status == 200
    await ada.see("save").click()
    await expect(ada.see("theirs")).to_have_text("the agent's\n")
    await expect(ada.see("editor")).to_have_value("mine again\n")
    assert await content(stack, session, "src/app.py") == b"the agent's\n"
    await page.evaluate("window.onbeforeunload = null")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.reload()  # what is not saved is kept
    await expect(ada.see("editor")).to_have_value("mine again\n")
    await ada.see("save").click()
    await ada.see("save-copy").click()
    await expect(ada.see("code")).to_contain_text("the agent's")
    assert await content(stack, session, "src/app%20(mine).py") == b"mine again\n"
    await page.goto(f"{ada.url}/#/s/{session}/files/README.md")
    await ada.see("rendered").click()
    await expect(ada.see("file").get_by_role("heading", name="Title")).to_be_visible()


async def test_files_are_made_renamed_deleted_and_searched(people: People, stack: Stack) -> None:
    ada = await people.person(viewport={"width": 1440, "height": 900})
    await with_files(ada, stack, {"a.txt": b"one\nneedle two\n"})
    page, tree = ada.page, ada.see("tree")
    await ada.see("new-folder").click()
    await page.get_by_role("textbox", name="Name").fill("docs")
    await page.keyboard.press("Enter")
    await expect(tree.get_by_role("treeitem", name="docs")).to_be_focused()
    await ada.see("new-file").click()
    await page.get_by_role("textbox", name="Name").fill("new <b>.txt")
    await page.keyboard.press("Enter")
    await expect(tree.get_by_role("treeitem", name="new <b>.txt")).to_be_visible()
    await ada.see("file-close").click()
    await expect(tree.get_by_role("treeitem", name="new <b>.txt")).to_be_focused()
    await page.keyboard.press("F2")
    await page.get_by_role("textbox", name="Path").fill("a.txt")
    await page.keyboard.press("Enter")
    await expect(ada.see("panel").get_by_role("alert").first).to_contain_text("already")
    await page.keyboard.press("F2")
    await page.get_by_role("textbox", name="Path").fill("docs/moved.txt")
    await page.keyboard.press("Enter")
    await expect(tree.get_by_role("treeitem", name="moved.txt")).to_be_focused()
    await page.keyboard.press("Delete")
    await ada.see("confirm").click()
    await expect(tree.get_by_role("treeitem", name="moved.txt")).to_have_count(0)
    await ada.see("search").fill("NEEDLE")
    await page.keyboard.press("Enter")
    await ada.see("search-results").get_by_role("button", name="a.txt:2").click()
    await expect(ada.see("code").locator(".marked")).to_contain_text("needle two")
    assert page.url.endswith("/files/a.txt:2")


async def test_a_long_file_opens_at_its_line_with_few_lines_in_the_page(people: People, stack: Stack) -> None:
    ada = await people.person(viewport={"width": 1440, "height": 900})
    lines = "".join(f"line {number} of many\n" for number in range(1, 200_001)).encode()
    await with_files(ada, stack, {"long.log": lines})
    await ada.page.goto(f"{ada.url}/#/s/{ada.session}/files/long.log:199990")
    await expect(ada.see("code").locator(".marked")).to_have_text("199990line 199990 of many")
    await expect(ada.see("code").locator(".marked")).to_be_in_viewport()
    assert await ada.page.locator(".code-row").count() < 200
    await ada.see("code").press("Control+Home")
    await expect(ada.page.locator(".code-row").first).to_have_text("1line 1 of many")
    assert await ada.page.locator(".code-row").count() < 200


async def test_a_large_upload_goes_on_where_it_was_cut_and_comes_back_whole(
    people: People, stack: Stack, tmp_path: Path
) -> None:
    ada = await people.person(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await ada.open()
    await ada.ask("Echo small")
    await ada.see("panel-open").click()
    await expect(ada.see("tree")).to_be_visible()
    content = os.urandom(20 * 1024 * 1024 + 7)
    (tmp_path / "big.bin").write_bytes(content)
    (tmp_path / "small.png").write_bytes(bytes.fromhex("89504e470d0a1a0a") + b"no picture")
    cut = 0

    async def cutting(route: Route) -> None:
        nonlocal cut
        if route.request.method == "PATCH" and cut < 2:
            cut += 1
            await route.abort()
        else:
            await route.continue_()

    await ada.page.route("**/upload?**", cutting)
    await ada.see("pick").set_input_files([tmp_path / "big.bin", tmp_path / "small.png"])
    await expect(ada.see("tree").get_by_role("treeitem", name="big.bin")).to_be_visible()
    await expect(ada.see("transfer")).to_have_count(0)
    assert cut == 2
    await ada.see("tree").get_by_role("treeitem", name="big.bin").tap()
    await expect(ada.see("file")).to_contain_text("This is no text: 21.0 MB")
    async with ada.page.expect_download() as started:
        await ada.see("download").tap()
    download = await started.value
    assert download.suggested_filename == "big.bin"
    got = (await download.path()).read_bytes()
    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()
    await ada.see("tree").get_by_role("treeitem", name="small.png").tap()
    await expect(ada.see("file").get_by_role("img")).to_have_attribute("src", re.compile("^blob:"))


async def test_files_go_with_a_prompt_and_what_the_agent_names_opens(
    people: People, stack: Stack, tmp_path: Path
) -> None:
    ada = await people.person(viewport={"width": 1440, "height": 900})
    await ada.open()
    (tmp_path / "notes.md").write_text("# Notes")
    await ada.see("attach-files").set_input_files(tmp_path / "notes.md")
    await expect(ada.see("prompt")).to_have_value("`uploads/notes.md` ")
    assert await content(stack, ada.session, "uploads/notes.md") == b"# Notes"
    await ada.see("prompt").evaluate(
        """(field) => {
          const data = new DataTransfer();
          data.items.add(new File(["x"], "image.png", { type: "image/png" }));
          field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    await expect(ada.see("prompt")).to_have_value(
        re.compile(r"^`uploads/notes\.md`\n`uploads/pasted-[0-9-]+\.png` $")
    )
    await ada.ask("Echo see `uploads/notes.md:1` and `array.map`")
    await expect(ada.prose.get_by_role("link")).to_have_count(1)
    await ada.prose.get_by_role("link", name="uploads/notes.md:1").click()
    await expect(ada.see("code").locator(".marked")).to_contain_text("# Notes")
    await ada.ask("Create a file called test.txt in /workspace with 'Hello'")
    await expect(
        ada.see("tree").get_by_role("treeitem", name="test.txt")
    ).to_be_visible()  # without a look again
    await ada.see("tool-card").last.get_by_role("link").first.click()
    await expect(ada.see("code")).to_contain_text("Hello")
