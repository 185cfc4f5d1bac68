/** What a terminal shows: bytes of an output on stdin, `cols rows` as arguments; the screen, its cursor and modes as JSON. */

import { readFileSync } from "node:fs";
import headless from "../gateway/node_modules/@xterm/headless/lib-headless/xterm-headless.js";

const [cols, rows] = process.argv.slice(2).map(Number);
const terminal = new headless.Terminal({ cols, rows, scrollback: 20000, allowProposedApi: true });
await new Promise((resolve) => terminal.write(readFileSync(0), resolve));
const { active } = terminal.buffer;
const lines = Array.from({ length: active.length }, (_, at) => active.getLine(at).translateToString(true));
const cells = Array.from({ length: rows }, (_, row) => {
  const line = active.getLine(active.baseY + row);
  return Array.from({ length: cols }, (_, col) => line?.getCell(col)).map((cell) => `${cell?.getFgColor()}/${cell?.getBgColor()}/${cell?.isBold()}`);
});
process.stdout.write(JSON.stringify({ kind: active.type, lines, x: active.cursorX, y: active.cursorY, base: active.baseY, cells, modes: terminal.modes }));
