/** terminal.js: outputs are what a terminal shows of them. The cases are those of tests/container/agents/test_terminal.py. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { asTerminalShows } from "../../../gateway/static/shared/terminal.js";

for (const [output, shown] of JSON.parse(readFileSync(new URL("terminal-cases.json", import.meta.url), "utf8"))) {
  test(`${JSON.stringify(output.slice(0, 60))} is shown as a terminal does`, () => assert.equal(asTerminalShows(output), shown));
}

test("long outputs take no longer than they are long", () => {
  const began = performance.now();
  for (const part of ["1%\r", "x\b", "\x1b[31mred\x1b[0m", "\n\x1b[200Cx", "\x1b[1K", "a\n\x1b[A"]) {
    asTerminalShows(part.repeat(250_000 / part.length));
  }
  assert.ok(performance.now() - began < 5000);
});
