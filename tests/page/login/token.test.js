/** token.js: tokens are read however broken they are, and an address does not sign in someone else unasked. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isToken, judgeOffer, subjectOf, tokenIn, tokenOf } from "../../../gateway/static/login/token.js";

test("a token says when it ends, and nonsense does not", () => {
  const body = Buffer.from(JSON.stringify({ exp: 1_800_000_000, sub: "ü" })).toString("base64url");
  assert.ok(isToken(`head.${body}.signature`));
  for (const nonsense of ["", "a.b.c", "abc"]) assert.ok(!isToken(nonsense), nonsense);
  for (const unsendable of [`head.${body}`, `head.${body}.sig\u200b`, `head.${body.slice(0, 9)}\n${body.slice(9)}.sig`]) {
    assert.ok(!isToken(unsendable), JSON.stringify(unsendable));
  }
});

test("a token is found in what is pasted, however it was wrapped", () => {
  for (const pasted of ["a.bc.d", " a.bc.d\n", "a.b\n  c.d", "http://h:8080/#tok\nen=a.b\r\nc.d", "http://h/#token=a.bc.d&x=1"]) {
    assert.equal(tokenOf(pasted), "a.bc.d");
  }
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
