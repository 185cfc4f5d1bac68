/** terminal.js: outputs are what a terminal shows of them. The cases are those of tests/container/agents/test_terminal.py. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { test } from "node:test";

import { asTerminalShows } from "../../../gateway/static/shared/terminal.js";

const MODULE = new URL("../../../gateway/static/shared/terminal.js", import.meta.url).href;

for (const [output, shown] of JSON.parse(readFileSync(new URL("terminal-cases.json", import.meta.url), "utf8"))) {
  test(`${JSON.stringify(output.slice(0, 60))} is shown as a terminal does`, () => assert.equal(asTerminalShows(output), shown));
}

/** Parts of which long outputs are made: `before` once, then `part` over and over. */
const LONG = [
  ["", "1%\r"],
  ["", "x\b"],
  ["", "\x1b[31mred\x1b[0m"],
  ["", "\n\x1b[200Cx"],
  ["", "\x1bDx"],
  ["", "\x1b[1K"],
  ["", "a\n\x1b[A"],
  ["", "\x1b]"],
  ["", "\x9d\n"],
  ["\x1b[", "1"],
  // Lines of which each is as far to the right as the longest.
  ["\n".repeat(5000) + "x".repeat(5000), "\x1b[A\x1b[2Ky"],
  ["\n".repeat(5000), "\x1b[2J"],
  ["x".repeat(5000) + "\r", "\x1b[200@"],
  ["x".repeat(5000) + "\r", "\x1b[P"],
  ["\n".repeat(5000), "\x1b[H\x1b[9999B\x1b[J"],
];

/** How often any part of `file` is run by `action`, which is given the module anew: V8's counts of its blocks. */
async function work(file, action) {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    const url = `${file}?counted=${performance.now()}`;
    action(await import(url));
    const { result } = await session.post("Profiler.takePreciseCoverage");
    const ranges = result.filter((script) => script.url === url).flatMap(({ functions }) => functions.flatMap((one) => one.ranges));
    assert.ok(ranges.length > 20);
    return ranges.reduce((sum, range) => sum + range.count, 0);
  } finally {
    session.disconnect();
  }
}

for (const [before, part] of LONG) {
  test(`${JSON.stringify(part)} over and over is as much work as it is long`, async () => {
    const output = before + part.repeat(20_000 / part.length);
    let shown = "";
    const steps = await work(MODULE, ({ asTerminalShows: show }) => (shown = show(output)));
    // Each escape of four signs may touch a line of 200; blanks that escapes make are 100,000 at most.
    assert.ok(steps < 100 * output.length + 1_000_000, `${steps} steps`);
    assert.ok(shown.length <= output.length + 100_000, `${shown.length} signs`);
  });
}
