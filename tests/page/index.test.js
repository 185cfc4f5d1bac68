/**
 * index.html: it asks for the style sheets and, early, for the modules that the first page needs, and for no other; it has
 * every element that they look for. What is loaded on demand is asked for by a module.
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

const FOLDER = new URL("../../gateway/static/", import.meta.url);
const read = (name) => readFileSync(new URL(name, FOLDER), "utf8");
const html = read("index.html");
const files = readdirSync(FOLDER, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
const modules = files.filter((name) => name.endsWith(".js") && name !== "boot.js" && !name.startsWith("vendor/"));

const DEMANDED = /\bimport\("(\..+?)"\)(?!\.)/g;
const demandedBy = (name) => [...read(name).replace(/\/\*[^]*?\*\//g, "").matchAll(DEMANDED)].map(([, path]) => posix.join(posix.dirname(name), path));

/** What a module imports, and what that imports. @param {boolean} [all]  with what is loaded on demand */
function importsOf(name, all = false, seen = new Set()) {
  const first = [...read(name).matchAll(/^import .*? from "(\..+?)";$/gms)].map(([, path]) => posix.join(posix.dirname(name), path));
  for (const found of [...first, ...(all ? demandedBy(name) : [])]) {
    if (seen.has(found)) continue;
    seen.add(found);
    if (!found.startsWith("vendor/")) importsOf(found, all, seen);
  }
  return seen;
}

test("each module is asked for with the page, not when another one turns out to need it", () => {
  const asked = [...html.matchAll(/<link rel="modulepreload" href="(.+?)">/g)].map(([, path]) => path);
  assert.deepEqual(asked.sort(), [...importsOf("page.js")].sort());
});

test("each module is used: by the page, or by what it loads on demand", () => {
  assert.deepEqual(modules.sort(), [...importsOf("page.js", true), "page.js"].filter((path) => !path.startsWith("vendor/")).sort());
});

test("each style sheet is asked for, once, what is shared before what builds on it", () => {
  const asked = [...html.matchAll(/<link rel="stylesheet" href="(.+?)">/g)].map(([, path]) => path);
  const demanded = modules.flatMap((name) => [...read(name).matchAll(/\bloadStyles\("(.+?)"\)/g)].map(([, path]) => path));
  const ours = (paths) => paths.filter((path) => path.endsWith(".css") && !path.startsWith("vendor/")).sort();
  assert.deepEqual(ours([...asked, ...new Set(demanded)]), ours(files));
  const shared = asked.filter((path) => path.startsWith("shared/"));
  assert.equal(asked[0], "shared/base.css");
  assert.deepEqual(asked.slice(0, shared.length), shared);
});

test("each element that a module looks for by id is there, once", () => {
  const ids = [...html.matchAll(/\sid="(.+?)"/g)].map(([, id]) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const name of modules) {
    for (const [, id] of read(name).matchAll(/byId\("(.+?)"\)/g)) assert.ok(ids.includes(id), `${name}: ${id}`);
    for (const [, id] of read(name).matchAll(/icon\("(.+?)"\)/g)) assert.ok(ids.includes(`i-${id}`), `${name}: icon ${id}`);
  }
});

test("nothing in the page needs more than its security policy allows", () => {
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|javascript:|https?:\/\//);
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)/);
});

test("boot.js can be served within the page: it ends no script element, and the gateway finds its place", () => {
  assert.doesNotMatch(read("boot.js"), /<\/script|<!--/i);
  assert.equal(html.split('<script src="boot.js"></script>').length, 2);
});
