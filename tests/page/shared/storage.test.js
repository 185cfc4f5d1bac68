/** storage.js: nothing is lost and nothing throws where the browser keeps little or nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SafeStorage } from "../../../gateway/static/shared/storage.js";

/** A Storage that holds `room` characters. */
function area(room = Infinity) {
  const items = new Map();
  return {
    items,
    getItem: (key) => items.get(key) ?? null,
    setItem(key, value) {
      if (value.length > room) throw new DOMException("full", "QuotaExceededError");
      items.set(key, value);
    },
    removeItem: (key) => items.delete(key),
    key: (index) => [...items.keys()][index],
    get length() {
      return items.size;
    },
  };
}

test("what the browser keeps is read from it", () => {
  const given = area();
  const kept = new SafeStorage(() => given);
  kept.set("a", "1");
  assert.equal(given.items.get("a"), "1");
  given.items.set("a", "2"); // by another tab
  assert.equal(kept.get("a"), "2");
  kept.remove("a");
  assert.equal(kept.get("a"), null);
});

test("a storage that is forbidden keeps things while the page lives", () => {
  for (const forbidden of [() => undefined, () => { throw new DOMException("no", "SecurityError"); }]) {
    const kept = new SafeStorage(forbidden);
    assert.equal(kept.get("a"), null);
    kept.set("a", "1");
    assert.equal(kept.get("a"), "1");
    kept.clear();
    assert.equal(kept.get("a"), null);
  }
});

test("what is somebody's own is cleared by itself, or a part of it", () => {
  const given = area();
  const all = new SafeStorage(() => given);
  const own = new SafeStorage(() => given, "own.");
  all.set("theme", "dark");
  for (const key of ["s1.draft", "s1.outbox", "s2.draft"]) own.set(key, key);
  own.clear("s1.");
  assert.deepEqual([...given.items.keys()], ["theme", "own.s2.draft"]);
  assert.equal(own.get("s2.draft"), "s2.draft");
  own.clear();
  assert.deepEqual([...given.items.keys()], ["theme"]);
});

test("what does not fit is kept beside, newest first, until it fits or is removed", () => {
  const given = area(3);
  const kept = new SafeStorage(() => given);
  kept.set("a", "old");
  kept.set("a", "longer");
  assert.equal(kept.get("a"), "longer");
  kept.set("a", "new");
  assert.equal(kept.get("a"), "new");
  kept.set("a", "longer");
  kept.remove("a");
  assert.equal(kept.get("a"), null);
});

test("of two gateways at one origin, one at its root, neither clears what is the other's", async (t) => {
  const areas = { localStorage: area(), sessionStorage: area() };
  Object.assign(globalThis, areas);
  t.after(() => ["localStorage", "sessionStorage", "document"].forEach((name) => delete globalThis[name]));
  const gateways = [];
  for (const path of ["/", "/forge/"]) {
    globalThis.document = { baseURI: `https://example.test${path}` };
    gateways.push(await import(`../../../gateway/static/shared/storage.js?at=${path}`));
  }
  for (const [leaves, stays] of [gateways, gateways.toReversed()]) {
    for (const name of ["own", "tab"]) {
      stays[name].set("s1.draft", "text");
      leaves[name].clear();
      assert.equal(stays[name].get("s1.draft"), "text");
    }
  }
});
