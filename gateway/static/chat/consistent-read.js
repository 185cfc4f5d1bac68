/** A session together with its messages, as of one moment, though the gateway tells them in two answers. */

/** What changes faster than it can be read is given up on for now. */
const TRIES = 4;

/** Whether nothing happened in a session between two reads of it. */
export function unchanged(before, after) {
  return (
    before?.updatedAt === after.updatedAt &&
    before.activeRun === after.activeRun &&
    before.queue.join() === after.queue.join() &&
    before.egressHosts?.join() === after.egressHosts?.join()
  );
}

/**
 * Reads until the session is the same before and after its messages.
 *
 * @param {object} api
 * @param {string} id
 * @param {{limit: number, signal: AbortSignal, session?: object}} options  `session`: as just read
 * @returns {Promise<{session: object, page: {messages: object[], cursor: string | null}, consistent: boolean}>}
 *   `consistent`: whether they are of one moment; otherwise what the session says of a run may be missing among the
 *   messages
 */
export async function readConsistent(api, id, { limit, signal, session }) {
  let before = session ?? (await api.getSession(id, { signal }));
  for (let tries = 1; ; tries += 1) {
    const page = await api.messages(id, { limit, order: "newest", signal });
    const after = await api.getSession(id, { signal });
    const consistent = unchanged(before, after);
    if (consistent || tries === TRIES) return { session: after, page, consistent };
    before = after;
  }
}
