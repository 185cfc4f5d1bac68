/** Makes nodes that are shown equal to others and keeps as many as it can: a selection, a press or the focus stays in them. */

/**
 * @param {Node} parent
 * @param {Node | null} first  its child from which on it is patched
 * @param {DocumentFragment} wanted  what is to be there instead; taken apart
 * @returns {Node[]} what is there now, from `first` on
 */
export function patch(parent, first, wanted) {
  return patchChildren(parent, first, [...wanted.childNodes]);
}

function patchChildren(parent, first, wanted) {
  const there = [];
  let node = first;
  for (const want of wanted) {
    const next = node?.nextSibling ?? null;
    if (!node) {
      there.push(parent.appendChild(want));
    } else if (node.isEqualNode(want) || patchNode(node, want)) {
      there.push(node);
    } else {
      node.replaceWith(want);
      there.push(want);
    }
    node = next;
  }
  while (node) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
  return there;
}

/** @returns {boolean} whether one can become the other */
function patchNode(node, want) {
  if (node.nodeName !== want.nodeName) return false;
  if (node.nodeType === Node.TEXT_NODE) {
    patchText(node, want.data);
    return true;
  }
  if (node.nodeType !== Node.ELEMENT_NODE) return false;
  // Another kind of block has another class; of code alone it is only the language.
  if (node.className !== want.className && node.nodeName !== "CODE") return false;
  if (node.nodeName === "BUTTON") return true; // It shows what became of a click.
  patchAttributes(node, want);
  patchChildren(node, node.firstChild, [...want.childNodes]);
  return true;
}

/** Only what differs: a range in what stays, stays. */
function patchText(node, text) {
  const before = node.data;
  let same = 0;
  while (same < before.length && before[same] === text[same]) same += 1;
  if (same < before.length) node.deleteData(same, before.length - same);
  if (same < text.length) node.appendData(text.slice(same));
}

function patchAttributes(node, want) {
  const readersOwn = node.nodeName === "DETAILS" ? "open" : "";
  for (const { name } of [...node.attributes]) {
    if (!want.hasAttribute(name) && name !== readersOwn) node.removeAttribute(name);
  }
  for (const { name, value } of want.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
}
