/** token.js: tokens are read however broken they are, and an address does not sign in someone else unasked. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isToken, judgeOffer, subjectOf, tokenIn } from "../../../gateway/static/login/token.js";

test("a token says when it ends, and nonsense does not", () => {
  const body = Buffer.from(JSON.stringify({ exp: 1_800_000_000, sub: "ü" })).toString("base64url");
  assert.ok(isToken(`head.${body}.signature`));
  for (const nonsense of ["", "a.b.c", "abc"]) assert.ok(!isToken(nonsense), nonsense);
});

test("a token is taken out of an address, however broken it is", () => {
  assert.equal(tokenIn("#token=a.b.c"), "a.b.c");
  assert.equal(tokenIn("#x=1&token=a%2Eb&y=2"), "a.b");
  assert.equal(tokenIn("#token=%"), "%");
  for (const none of ["", "#/s/abc", "#token=", "#mytoken=a"]) assert.equal(tokenIn(none), null, none);
});

test("an address replaces a token only by one of the same user, or after a question, whatever the clock says", () => {
  const token = (sub, exp) => `h.${Buffer.from(JSON.stringify({ sub, exp })).toString("base64url")}.s`;
  const [good, over, other] = [token("ädä", 1_800_000_000), token("ädä", 1), token("grace", 1_800_000_000)];
  const nonsense = "%";
  assert.equal(subjectOf(good), "ädä");
  assert.equal(subjectOf(nonsense), "");
  for (const kept of [good, over]) {
    for (const same of [good, over]) assert.equal(judgeOffer(same, kept), "take");
    assert.equal(judgeOffer(other, kept), "ask");
    assert.equal(judgeOffer(nonsense, kept), "ignore");
  }
  for (const kept of ["", nonsense]) {
    for (const offered of [good, other, over, nonsense]) assert.equal(judgeOffer(offered, kept), "take");
  }
});
