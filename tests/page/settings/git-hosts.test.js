/** git-hosts.js: what is sent of a host. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { hostOf, repositoriesIn } from "../../../gateway/static/settings/git-hosts.js";

test("a token that is kept stays unless another is typed", () => {
  assert.deepEqual(hostOf({}, "", ""), {});
  assert.deepEqual(hostOf({}, " ghp_new ", ""), { token: "ghp_new" });
  assert.deepEqual(hostOf({ token: "\u2022\u2022", user: "me" }, "", "acme, me/site"), {
    token: "\u2022".repeat(6),
    user: "me",
    repositories: ["acme", "me/site"],
  });
  assert.deepEqual(hostOf({ token: "\u2022\u2022" }, "ghp_new", ""), { token: "ghp_new" });
});

test("repositories have commas, spaces or lines between", () => {
  assert.deepEqual(repositoriesIn(" acme/site,\nme  other/one "), ["acme/site", "me", "other/one"]);
  assert.deepEqual(repositoriesIn(""), []);
});
