/** A text as lines of coloured pieces: what highlight.js says, without its markup ever being read as HTML. */

/** Characters of a text that is coloured; a longer one is shown as it is. */
export const MOST_COLOURED = 300_000;

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'" };
const PIECE = /<span class="([\w .-]*)">|<\/span>|(&(?:amp|lt|gt|quot|#x27);)|(\n)|([^<&\n]+|[<&])/g;

/**
 * @param {string} markup  of highlight.js: spans with classes, and text with five entities
 * @returns {{text: string, kind: string}[][]} lines of pieces; `kind`: the classes, empty for none
 */
export function linesOf(markup) {
  const lines = [[]];
  const open = [];
  for (const [whole, kind, entity, newline, text] of markup.matchAll(PIECE)) {
    if (kind !== undefined) open.push(kind);
    else if (whole === "</span>") open.pop();
    else if (newline) lines.push([]);
    else add(lines.at(-1), entity ? ENTITIES[entity] : text, open.at(-1) ?? "");
  }
  return lines;
}

function add(line, text, kind) {
  const last = line.at(-1);
  if (last && last.kind === kind) last.text += text;
  else line.push({ text, kind });
}

const LANGUAGES = {
  bash: /\.(sh|bash|zsh)$|^\.(bash|zsh|profile)/, c: /\.[ch]$/, cpp: /\.(cc|cpp|cxx|hpp|hh)$/, csharp: /\.cs$/, css: /\.css$/, diff: /\.(diff|patch)$/,
  go: /\.go$/, graphql: /\.(graphql|gql)$/, ini: /\.(ini|toml|cfg|conf)$/, java: /\.java$/, javascript: /\.(m?js|cjs|jsx)$/, json: /\.(json|jsonl|ndjson)$/,
  kotlin: /\.kts?$/, less: /\.less$/, lua: /\.lua$/, makefile: /^makefile$|\.mk$/, markdown: /\.(md|markdown)$/, perl: /\.p[lm]$/, php: /\.php$/, python: /\.pyi?$/,
  r: /\.r$/, ruby: /\.rb$|^(gemfile|rakefile)$/, rust: /\.rs$/, scss: /\.scss$/, sql: /\.sql$/, swift: /\.swift$/, typescript: /\.([cm]?ts|tsx)$/, xml: /\.(xml|html?|svg|xhtml|vue)$/,
  yaml: /\.ya?ml$/,
};

/** @param {string} name  of a file @returns {string} highlight.js's name of its language; empty for none */
export function languageOf(name) {
  const lower = name.toLowerCase();
  return Object.keys(LANGUAGES).find((language) => LANGUAGES[language].test(lower)) ?? "";
}
