/** poller.js: one look at a time, and none that was asked for is forgotten. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Poller } from "../../../gateway/static/shared/poller.js";
import { settle } from "../harness.js";

globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };

test("a look that is due while another one is on comes right behind it", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const answers = [];
  const poller = new Poller(() => new Promise((resolve) => answers.push(resolve)), 2000);
  const tick = async (ms) => {
    t.mock.timers.tick(ms);
    await settle();
  };
  await tick(2000);
  poller.within(300);
  await tick(300);
  assert.equal(answers.length, 1);
  answers[0]();
  await settle();
  await tick(0);
  assert.equal(answers.length, 2);
  answers[1]();
  await settle();
  await tick(1999);
  assert.equal(answers.length, 2);
  await tick(1);
  assert.equal(answers.length, 3);
  poller.close();
});
