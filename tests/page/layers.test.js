/** The page's layers: its entry, the rooms, what they share, and the client, which will be published without the page. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";

const FOLDER = new URL("../../gateway/static/", import.meta.url);
/** The folders under the rooms, with what each may import beside itself. A room may import these, and other rooms. */
const UNDER_ROOMS = { vendor: [], client: [], shared: ["client", "vendor"] };

const files = readdirSync(FOLDER, { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => name.endsWith(".js") && !name.startsWith("vendor/"));
const sources = new Map(files.map((name) => [name, readFileSync(new URL(name, FOLDER), "utf8")]));
/** The folder of a module; the name itself of one at the root. */
const roomOf = (name) => name.split("/")[0];

/** @returns {{from: string, to: string, names: string[]}[]} imports and re-exports, and types that comments import */
function importsOf([from, source]) {
  const found = [];
  const add = (path, names) => {
    assert.match(path, /^\.\.?\//, `${from}: browsers resolve no bare name, such as "${path}"`);
    found.push({ from, to: posix.join(posix.dirname(from), path), names });
  };
  for (const [, clause = "", path] of source.matchAll(/^(?:import|export)\s+(?:([^;"]*?)\s*\bfrom\s*)?"([^"]+)";/gm)) {
    const braced = /\{([^}]*)\}/.exec(clause)?.[1] ?? "";
    const names = braced.split(",").map((part) => part.trim().split(/\s+as\s+/)[0]).filter(Boolean);
    if (/^[\w$]+/.test(clause)) names.push("default");
    add(path, names);
  }
  assert.equal(found.length, source.match(/^\s*import\b|^\s*export\b[^;(]*\bfrom\s*"/gm)?.length ?? 0, `${from}: an import is not understood`);
  for (const [, path, name] of source.matchAll(/\bimport\("([^"]+)"\)(?:\.(\w+))?/g)) add(path, name ? [name] : []);
  assert.doesNotMatch(source, /\bimport\((?!")/, `${from}: an import of a computed name`);
  return found;
}

const imports = [...sources].flatMap(importsOf);
const told = ({ from, to }) => `${from} imports ${to}`;

/** What a module exports, with its types. */
function exportsOf(name) {
  const source = sources.get(name);
  const names = [...source.matchAll(/^export\s+(?:async\s+)?(?:class|const|let|function\*?)\s+([\w$]+)/gm)].map(([, one]) => one);
  for (const [, list] of source.matchAll(/^export\s*\{([^}]*)\}/gm)) names.push(...list.split(",").map((part) => part.trim().split(/\s+as\s+/).at(-1)));
  for (const [, one] of source.matchAll(/@typedef\s+\{[^@]*?\}\s+(\w+)/g)) names.push(one);
  if (/^export\s+default\b/m.test(source)) names.push("default");
  return names;
}

/** The first circle of a graph, as the names along it; null when there is none. @param {Map<string, Set<string>>} graph */
function circleIn(graph) {
  const done = new Set();
  const visit = (name, path) => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return null;
    for (const next of graph.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle) return circle;
    }
    done.add(name);
    return null;
  };
  for (const name of graph.keys()) {
    const circle = visit(name, []);
    if (circle) return circle.join(" → ");
  }
  return null;
}

function graphOf(edges) {
  const graph = new Map();
  for (const [from, to] of edges) graph.set(from, (graph.get(from) ?? new Set()).add(to));
  return graph;
}

test("the page's modules are found, and what they import", () => {
  for (const name of ["page.js", "client/client.js", "shared/dom.js"]) assert.ok(sources.has(name), name);
  assert.ok(imports.some(({ from, to, names }) => from === "page.js" && to === "client/client.js" && names.includes("createClient")));
});

test("everything that is imported is there, by its name", () => {
  for (const { from, to, names } of imports) {
    assert.ok(existsSync(new URL(to, FOLDER)), `${told({ from, to })}, which is not there (libraries come with scripts/setup page)`);
    if (roomOf(to) === "vendor") continue;
    for (const name of names) assert.ok(exportsOf(to).includes(name), `${told({ from, to })}, which has no ${name}`);
  }
});

test("what a module uses of another one it imports", () => {
  const exported = new Set([...sources.keys()].flatMap(exportsOf).filter((name) => name !== "default"));
  for (const [name, source] of sources) {
    const code = source.replace(/\/\*[^]*?\*\/|(?<![:"'`\\])\/\/.*/g, "");
    const known = new Set(imports.filter(({ from }) => from === name).flatMap(({ names }) => names));
    for (const [, one] of code.matchAll(/(?<![.#\w$"'`-])([\w$]+)\(/g)) {
      const declared = new RegExp(`\\b(?:function\\*?|class|const|let) ${one}\\b|^ +(?:async |static |get |set )*${one}\\([^;]*\\) \\{$|[(,{] *${one} *[,})=]`, "m");
      if (exported.has(one) && !known.has(one)) assert.match(code, declared, `${name} uses ${one}, which it does not import`);
    }
  }
});

test("the client imports nothing of the page", () => {
  assert.deepEqual(imports.filter(({ from, to }) => roomOf(from) === "client" && roomOf(to) !== "client").map(told), []);
});

test("imports point down: from the entry to the rooms, from these to what they share, and to the client", () => {
  const rises = imports.filter(({ from, to }) => {
    if (!to.includes("/")) return true; // Nothing imports what is at the root.
    const may = UNDER_ROOMS[roomOf(from)];
    return may !== undefined && roomOf(to) !== roomOf(from) && !may.includes(roomOf(to));
  });
  assert.deepEqual(rises.map(told), []);
});

test("no rooms import each other in a circle, and no modules", () => {
  const between = imports.filter(({ from, to }) => roomOf(from) !== roomOf(to));
  assert.equal(circleIn(graphOf(between.map(({ from, to }) => [roomOf(from), roomOf(to)]))), null);
  assert.equal(circleIn(graphOf(imports.map(({ from, to }) => [from, to]))), null);
});
