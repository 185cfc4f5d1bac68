/** api.js: the routes of the contract, errors that name what failed, and requests that are sent again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, createClient } from "../../../gateway/static/client/client.js";
import { fakeGateway, settle } from "../harness.js";

test("times of the gateway's are told by this clock, and never in the future", async () => {
  const now = Date.parse("2026-03-10T14:00:00Z");
  const headers = { Date: "Tue, 10 Mar 2026 12:00:00 GMT" };
  const env = { origin: "https://forge.example", token: "t", now: () => now, fetch: async () => new Response("{}", { headers }) };
  const { api } = createClient(env);
  await api.version();
  assert.equal(api.here("2026-03-10T11:59:00Z"), now - 60_000);
  assert.equal(api.here("2026-03-10T12:00:09Z"), now);
  assert.equal(new Date(api.now()).toISOString(), "2026-03-10T12:00:00.000Z");
});

test("a limit of ours is for a person to know; another one, and that of tickets, passes", () => {
  for (const code of ["queue-full", "rate-limited", "quota-reached", "sign-ins-limited"]) {
    assert.equal(new ApiError("Full.", { status: 429, code }).transient, false, code);
  }
  for (const code of ["disk-low", "disk-quota"]) {
    assert.equal(new ApiError("Full.", { status: 507, code }).transient, false, code);
  }
  assert.equal(new ApiError("Full.", { status: 507, code: "disk-full" }).transient, true);
  for (const code of ["too-many", "http"]) assert.equal(new ApiError("Full.", { status: 429, code }).transient, true, code);
});

test("a request that got no answer is sent again, twice", async () => {
  for (const [failures, outcome] of [[0, true], [2, true], [3, false]]) {
    let asked = 0;
    const { env, clock } = fakeGateway({
      http: () => {
        asked += 1;
        if (asked <= failures) throw new TypeError("Failed to fetch");
        return Response.json({ success: true });
      },
    });
    const saved = createClient(env).persistMessage("s1", "text");
    await clock.advance(1000);
    assert.equal(await saved, outcome);
    assert.equal(asked, Math.min(failures + 1, 3));
  }
});

test("the api speaks the routes of the contract and names what failed", async () => {
  const { env, log } = fakeGateway({
    http: (path, { method }) => {
      if (method === "DELETE") return new Response(null, { status: 204 });
      if (path === "/api/settings") return new Response("<html>", { status: 502 });
      if (path === "/api/sessions/a%2Fb") return Response.json({ error: "Long.", code: "bad-request", field: "title" }, { status: 400 });
      return Response.json({});
    },
  });
  const { api } = createClient(env);
  await api.listSessions({ limit: 20 });
  await api.createSession("Title");
  await api.messages("s1", { limit: 5, cursor: "c", order: "newest" });
  await api.stop("s1", "r1");
  assert.equal(await api.deleteSession("s1"), null);
  assert.equal(await api.emptyFiles("s1"), null);
  assert.deepEqual(
    log.requests.map(({ method, path, query, body }) => [method, `${path}?${query}`, body]),
    [
      ["GET", "/api/sessions?limit=20", undefined],
      ["POST", "/api/sessions?", { title: "Title" }],
      ["GET", "/api/sessions/s1/messages?limit=5&cursor=c&order=newest", undefined],
      ["POST", "/api/sdk/stop?", { sessionId: "s1", run: "r1" }],
      ["DELETE", "/api/sessions/s1?", undefined],
      ["DELETE", "/api/sessions/s1/files?", undefined],
    ],
  );
  await assert.rejects(api.renameSession("a/b", "x"), { status: 400, code: "bad-request", field: "title", message: "Long." });
  const error = await api.settings().catch((reason) => reason);
  assert.ok(error instanceof ApiError);
  assert.deepEqual([error.status, error.transient], [502, true]);
});

test("a request that is never answered ends with a timeout", async () => {
  const { env, clock } = fakeGateway({
    http: (path, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
  });
  const asked = createClient(env).api.version().catch((error) => error);
  await clock.advance(15_000);
  assert.equal((await asked).code, "timeout");
  const emptied = createClient(env).api.emptyFiles("s1").catch((error) => error); // of a million files, perhaps
  await clock.advance(60_000);
  assert.equal(clock.pending, 1);
  await clock.advance(30_000);
  assert.equal((await emptied).code, "timeout");
});

test("of many requests with a token that has ended one asks for another, and none goes out until it is there", async () => {
  let token = "old";
  let asked = 0;
  let signIn;
  const { env, log } = fakeGateway({
    token: () => token,
    renew: () => {
      asked += 1;
      return new Promise((resolve) => {
        signIn = resolve;
      });
    },
    http: (_path, { headers }) =>
      headers.Authorization === "Bearer new"
        ? Response.json({ sessions: [], cursor: null })
        : Response.json({ error: "The token has expired; sign in again", code: "unauthorized" }, { status: 401 }),
  });
  const { api } = createClient(env);
  const all = [api.listSessions(), api.getSession("s1")];
  await settle();
  all.push(api.stop("s1"));
  const abort = new AbortController();
  const left = api.getSession("s2", { signal: abort.signal });
  await settle();
  assert.deepEqual([asked, log.requests.length], [1, 2]);
  abort.abort();
  await assert.rejects(left, { code: "network" });
  token = "new";
  signIn(true);
  await Promise.all(all);
  assert.deepEqual(log.requests.map(({ headers }) => headers.Authorization.slice(7)), ["old", "old", "new", "new", "new"]);
});

test("tokens that change by themselves and are all refused are not tried for ever", async () => {
  let made = 0;
  const { env, log } = fakeGateway({
    token: () => `token-${(made += 1)}`,
    http: () => Response.json({ error: "No.", code: "unauthorized" }, { status: 401 }),
  });
  await assert.rejects(createClient(env).api.listSessions(), { code: "unauthorized" });
  assert.equal(log.requests.length, 3);
});
