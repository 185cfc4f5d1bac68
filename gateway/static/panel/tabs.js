/**
 * What the panel can show, in its order. A tab's module is loaded when it is first opened.
 *
 * @typedef {object} Place  where a tab shows a session, and what it has of the page
 * @property {HTMLElement} element  the tab's own
 * @property {string} session  its id
 * @property {ReturnType<typeof import("../client/client.js").createClient>} client
 * @property {(rest: string, how?: {push?: boolean}) => void} went  the address is to say so; `push`: one can go back from there
 *
 * @typedef {object} View  a session in a tab, until it is closed; hidden while another tab is shown
 * @property {(rest: string) => void} show  `rest`: what the address asks for, percent-encoded; empty for nothing in particular
 * @property {() => void} [hide]  another tab is shown, or none
 * @property {boolean} [unsaved]  whether leaving the page would lose work
 * @property {() => void} [runEnded]  the agent has done what it was asked, with files perhaps
 * @property {() => void} close  another session is shown
 *
 * @typedef {object} Tab
 * @property {string} id  in the address: `#/s/<session>/<id>/<rest>`
 * @property {string} title
 * @property {() => Promise<{open: (place: Place) => View}>} load
 */

/** @type {Tab[]} */
export const TABS = [
  { id: "files", title: "Files", load: () => import("../files/files.js") },
  { id: "terminal", title: "Terminal", load: () => import("../terminal/terminals.js") },
];
