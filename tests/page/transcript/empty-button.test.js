/** empty-button.js: it asks once at a time, says what came of it, and keeps the focus. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { emptyButton } from "../../../gateway/static/transcript/empty-button.js";

/** As far as a button needs one. */
class FakeElement extends EventTarget {
  dataset = {};
  #attributes = new Map();
  setAttribute = (name, value) => void this.#attributes.set(name, value);
  getAttribute = (name) => this.#attributes.get(name) ?? null;
  removeAttribute = (name) => void this.#attributes.delete(name);
  append() {}
  click = () => this.dispatchEvent(new Event("click"));
}

globalThis.document = { createElement: () => new FakeElement() };

/** What a button asks for when it is pressed. */
function heard(button, kind) {
  const asked = [];
  button.addEventListener(kind, (event) => asked.push(event));
  return asked;
}

test("a workspace is asked to be emptied once at a time, and again where it came to nothing", () => {
  const button = emptyButton();
  const asked = heard(button, "empty-files");
  button.click();
  button.click();
  assert.equal(asked.length, 1);
  assert.ok(asked[0].bubbles);
  assert.equal(button.disabled, undefined); // It would lose the focus.
  asked[0].detail.done(false);
  assert.equal(button.textContent, "Empty the workspace…");
  assert.equal(button.getAttribute("aria-disabled"), null);
  button.click();
  assert.equal(asked.length, 2);
  asked[1].detail.done(true);
  assert.equal(button.textContent, "Workspace emptied");
  button.click();
  assert.equal(asked.length, 2);
});
