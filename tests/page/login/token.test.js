/** token.js: tokens are read however broken they are, and an address does not sign in someone else unasked. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { expiryOf, judgeOffer, subjectOf, tokenIn } from "../../../gateway/static/login/token.js";

test("a token's end is read from it, and nonsense has none", () => {
  const body = Buffer.from(JSON.stringify({ exp: 1_800_000_000, sub: "ü" })).toString("base64url");
  assert.equal(expiryOf(`head.${body}.signature`), 1_800_000_000_000);
  for (const nonsense of ["", "a.b.c", "abc"]) assert.ok(Number.isNaN(expiryOf(nonsense)), nonsense);
});

test("a token is taken out of an address, however broken it is", () => {
  assert.equal(tokenIn("#token=a.b.c"), "a.b.c");
  assert.equal(tokenIn("#x=1&token=a%2Eb&y=2"), "a.b");
  assert.equal(tokenIn("#token=%"), "%");
  for (const none of ["", "#/s/abc", "#token=", "#mytoken=a"]) assert.equal(tokenIn(none), null, none);
});

test("an address replaces a token that is still good only by one of the same user, or after a question", () => {
  const now = 1_700_000_000_000;
  const token = (sub, exp) => `h.${Buffer.from(JSON.stringify({ sub, exp })).toString("base64url")}.s`;
  const [good, later, other] = [token("ädä", 1_800_000_000), token("ädä", 1_900_000_000), token("grace", 1_800_000_000)];
  const [over, nonsense] = [token("ädä", 1_600_000_000), "%"];
  assert.equal(subjectOf(good), "ädä");
  assert.equal(subjectOf(nonsense), "");
  assert.equal(judgeOffer(later, good, now), "take");
  assert.equal(judgeOffer(other, good, now), "ask");
  for (const worse of [over, nonsense]) assert.equal(judgeOffer(worse, good, now), "ignore");
  for (const kept of ["", over, nonsense]) {
    for (const offered of [good, other, over, nonsense]) assert.equal(judgeOffer(offered, kept, now), "take");
  }
});
