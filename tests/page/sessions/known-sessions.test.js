/** known-sessions.js: the list is the gateway's, in its order, however much of it is shown and whoever changes it. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { KnownSessions } from "../../../gateway/static/sessions/known-sessions.js";

const iso = (seconds) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();

/** Sessions in the order of their last use, and how many of them were read. */
class Gateway {
  read = 0;
  requests = 0;
  #now = 0;
  #sessions = new Map();

  /** @param {number} count  sessions, a minute between them; the highest number is the newest */
  constructor(count) {
    for (let number = 0; number < count; number += 1) this.use(`s${number}`);
  }

  use(id) {
    this.#now += 60;
    this.#sessions.set(id, { id, updatedAt: iso(this.#now), title: `${id} at ${this.#now}` });
    return this.#sessions.get(id);
  }

  delete(id) {
    this.#sessions.delete(id);
  }

  get list() {
    return [...this.#sessions.values()].sort((a, b) => b.updatedAt.localeCompare(a.updatedAt));
  }

  get ids() {
    return this.list.map(({ id }) => id);
  }

  async listSessions({ limit, cursor }) {
    const left = this.list.filter(({ updatedAt }) => !cursor || updatedAt < cursor);
    const sessions = left.slice(0, limit);
    this.requests += 1;
    this.read += sessions.length;
    return { sessions, cursor: left.length > limit ? sessions.at(-1).updatedAt : null };
  }
}

let gateway;
let known;
const shown = () => known.sorted.map(({ id }) => id);

async function begin(count, pages = 1) {
  gateway = new Gateway(count);
  known = new KnownSessions(gateway);
  await known.refresh();
  for (let page = 1; page < pages; page += 1) await known.more();
  gateway.read = 0;
  gateway.requests = 0;
}

beforeEach(() => begin(120));

test("the oldest session, prompted, is on top and stays there, in this tab as in another one", async () => {
  known.learn(gateway.use("s0"));
  assert.equal(shown()[0], "s0");
  for (let look = 0; look < 3; look += 1) await known.refresh();
  assert.equal(shown()[0], "s0");
  gateway.use("s1");
  await known.refresh();
  assert.deepEqual(shown().slice(0, 2), ["s1", "s0"]);
});

test("one that was deleted elsewhere goes, from whichever page", async () => {
  await known.more();
  await known.more();
  assert.deepEqual(shown(), gateway.ids);
  for (const id of ["s119", "s70", "s69", "s20", "s0"]) {
    gateway.delete(id);
    await known.refresh();
    assert.deepEqual(shown(), gateway.ids, id);
  }
  assert.equal(known.cursor, null);
});

test("a look at 5,000 sessions reads a page of them, and a part where more are shown", async () => {
  await begin(5_000);
  for (let look = 0; look < 5; look += 1) await known.refresh();
  assert.deepEqual([gateway.requests, gateway.read], [5, 250]);
  await begin(5_000, 100);
  assert.equal(shown().length, 5_000);
  for (const number of [4_999, 3_000, 2_999, 1, 0]) gateway.delete(`s${number}`);
  gateway.use("s2");
  let looks = 0;
  do {
    await known.refresh();
    looks += 1;
    assert.equal(shown()[0], "s2");
  } while (shown().length > gateway.ids.length);
  assert.deepEqual(shown(), gateway.ids);
  assert.ok(looks <= 5_000 / 200 + 1, `${looks} looks`);
  assert.ok(gateway.read <= looks * 250, `${gateway.read} read`);
});

test("more that was used elsewhere than a page holds is all read", async () => {
  await known.more();
  for (let number = 0; number < 70; number += 1) gateway.use(`s${number}`);
  await known.refresh();
  assert.deepEqual(shown(), gateway.ids.slice(0, shown().length));
  assert.ok(shown().length >= 100);
});

test("where more was used than is shown the list begins anew, and can be read on", async () => {
  for (let number = 0; number < 119; number += 1) gateway.use(`s${number}`);
  await known.refresh();
  assert.deepEqual(shown(), gateway.ids.slice(0, 50));
  while (known.cursor) await known.more();
  assert.deepEqual(shown(), gateway.ids);
});

test("an old session that is open before the first look leaves the rest to be read", async () => {
  known = new KnownSessions(gateway);
  known.learn(gateway.list.at(-1));
  await known.refresh();
  assert.equal(shown().length, 51);
  while (known.cursor) await known.more();
  assert.deepEqual(shown(), gateway.ids);
});

test("what was learned or deleted while the list was read is newer than the list", async () => {
  const list = gateway.listSessions.bind(gateway);
  gateway.listSessions = async (query) => {
    const page = await list(query);
    known.learn({ ...gateway.list[3], title: "renamed" });
    known.forget("s119");
    return page;
  };
  await known.refresh();
  assert.equal(known.sorted.find(({ title }) => title === "renamed")?.id, "s116");
  assert.equal(known.get("s119"), undefined);
});

test("two pages asked for at once are one", async () => {
  await Promise.all([known.more(), known.more()]);
  assert.equal(shown().length, 100);
  await known.more();
  assert.deepEqual(shown(), gateway.ids);
});

test("whatever changes between looks, each session is shown once, in order, and at last all is as it is", async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    let state = seed * 7919;
    const below = (count) => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return Math.floor((state / 2147483648) * count);
    };
    await begin(400, 1 + below(8));
    for (let step = 0; step < 60; step += 1) {
      const id = `s${below(440)}`;
      const act = below(6);
      if (act < 2) gateway.use(id);
      else if (act === 2) gateway.delete(id);
      else if (act === 3 && gateway.ids.includes(id)) known.learn(gateway.list.find((one) => one.id === id));
      else if (act === 4 && known.cursor) await known.more();
      else await known.refresh();
      assert.equal(new Set(shown()).size, shown().length);
      const times = known.sorted.map(({ updatedAt }) => updatedAt);
      assert.deepEqual(times, [...times].sort().reverse());
    }
    while (known.cursor) await known.more();
    for (let look = 0; look < 4; look += 1) await known.refresh();
    assert.deepEqual(shown(), gateway.ids, `seed ${seed}`);
  }
});
