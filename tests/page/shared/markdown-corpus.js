/** Markdown as models write it: what it becomes, and what it must not depend on. */

/** A source, and what its HTML has, or has not. */
export const SAID = [
  ["about ~3~5 min", { has: ["<p>about ~3~5 min</p>"] }],
  ["copy ~/a:~/b and ~~not~~ ~/c", { has: ["~/a:~/b", "<del>not</del>", "~/c"] }],
  ["**「重要」**です", { has: ["<strong>「重要」</strong>です"] }],
  ['これは**"重要"**です。', { has: ["これは<strong>&quot;重要&quot;</strong>です。"] }],
  ["**注意：**请看**（这里）**。", { has: ["<strong>注意：</strong>请看<strong>（这里）</strong>。"] }],
  ["他说：**“好”**。再说*「不」*了", { has: ["<strong>“好”</strong>。", "<em>「不」</em>了"] }],
  ["한국어**“강조”**입니다", { has: ["<strong>“강조”</strong>입니다"] }],
  ["“_said_” and snake_case_name and 2*3*4", { has: ["“<em>said</em>”", "snake_case_name"] }],
  ["**bold**—then *this*, ***both*** and **a*b*c**", { has: ["<strong>bold</strong>—", "<em><strong>both</strong></em>"] }],
  ["见 https://example.com/a。然后（https://example.com/b）", { has: ['"https://example.com/a"', "</a>。然后", '"https://example.com/b"', "</a>）"] }],
  ["https://example.com/日本 www.example.com，x", { has: ["/日本</a>", '"http://www.example.com"', "</a>，x"] }],
  ["**https://example.com/a**, (https://example.com/b).", { has: ['"https://example.com/a"', '"https://example.com/b"'] }],
  ["\\(a_1\\) and \\(b_2 * c * d\\)", { has: ["\\(a_1\\) and \\(b_2 * c * d\\)"] }],
  ["$x*y*z$ and $a_1 + b_1$", { has: ["$x*y*z$ and $a_1 + b_1$"] }],
  ["costs $5 and *really* $6, $HOME/*a*:$PATH", { has: ["$5 and <em>really</em> $6", "$HOME/<em>a</em>:$PATH"] }],
  ["so\n$$\nx*y*z\n= b_1\n- c\n$$\nthen", { has: ["$$\nx*y*z\n= b_1\n- c\n$$", "<p>then</p>"], hasNot: ["<em>", "<h1", "<li>"] }],
  ["so\n\\[\na_1*b*c\n\\]\nthen", { has: ["\\[\na_1*b*c\n\\]"], hasNot: ["<em>"] }],
  ["1. a\n2. b\n10. c", { has: ["<li>c</li>"], hasNot: ["</ol>\n<ol"] }],
];

/** Whole answers, of all kinds of blocks. */
export const ANSWERS = [
  "1. a\n2. b\n3. c\n\nThen\n\n- x\n- y\n\n  more of y\n- z\n",
  "1. One\n\n2. Two\n\n   ```sh\n   ls\n   ```\n\n3. Three\n",
  "# Title\n\nText with **bold**, `code` and ~3~5.\n\n```python\ndef f():\n    return 1\n\nprint(f())\n```\n\nEnd.\n",
  "| a | b |\n| - | :-: |\n| 1 | **2** |\n| 3 | 4 |\n\nAfter.\n",
  "> quoted\n> more\n\n> again\n\n---\n\nTitle\n=====\n\n- [x] done\n- [ ] not\n",
  "See [the docs] and [this][x].\n\n[the docs]: https://example.com/docs\n[x]: https://example.com/x\n",
  "<details>\n<summary>More</summary>\n\nHidden *text*.\n\n</details>\n\nAfter <kbd>Esc</kbd> and <template>.\n",
  "Windows\r\nlines\r\n\r\n- a\r\n- b\r\n\r\nand old\rones\r",
  "One\n\n    indented\n\n    code\n\nTwo\n***\nThree\n\n\n\nFour  \nfive\\\nsix\n",
  "Fence:\n\n~~~~md\n```js\nx\n```\n~~~~\n\nand ```` `` ```` too, 👩‍👩‍👧 é 日本**「語」**です。https://example.com/。\n",
  "so\n\n$$\nx*y*z\n- c\n$$\n\nthen \\(a_1\\), $b*c*d$\n\n\\[\nq\n\\]\n",
  "unclosed\n\n```\ncode without an end\n- a",
  "- a\n  - b\n    - c\n\n      text\n\n- d\n1. e\n",
];

/** What overflows or stalls a parser. */
export const HOSTILE = [
  ["nested lists", "- ".repeat(1500)],
  ["nested quotations", "> ".repeat(1500)],
  ["nested quotations and lists", "> 1. - ".repeat(700)],
  ["lists by indentation", Array.from({ length: 400 }, (_, depth) => `${"  ".repeat(depth)}- a\n`).join("")],
  ["open brackets", "[".repeat(50_000)],
  ["open emphasis", "*a_ ".repeat(25_000)],
  ["open links", "[a](".repeat(25_000)],
  ["nested links", "[[a](b)".repeat(15_000)],
  ["open code", "`a``".repeat(25_000)],
  ["open TeX", "\\(a ".repeat(25_000)],
  ["open lines of TeX", "\\[a\n".repeat(25_000)],
  ["open tags", "<a ".repeat(30_000)],
  ["plain tags", "<b>".repeat(30_000)],
];
