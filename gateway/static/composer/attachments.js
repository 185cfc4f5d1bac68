/** Files for a prompt: picked, dropped on where it is written, or pasted into it. */

import { byId } from "../shared/dom.js";

/** The files of what was dropped or pasted; folders are none. @param {DataTransfer | null} data @returns {File[]} */
function filesOf(data) {
  const items = [...(data?.items ?? [])].filter(({ kind }) => kind === "file");
  return items.filter((item) => item.webkitGetAsEntry?.()?.isDirectory !== true).map((item) => item.getAsFile()).filter(Boolean);
}

/** @param {(files: File[]) => void} take */
export function setUpAttachments(take) {
  const form = byId("composer");
  const picker = byId("attach-files");
  byId("attach").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    if (picker.files.length) take([...picker.files]);
    picker.value = "";
  });
  form.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
  const taken = (event, data) => {
    const files = filesOf(data);
    if (!files.length) return;
    event.preventDefault();
    take(files);
  };
  form.addEventListener("drop", (event) => taken(event, event.dataTransfer));
  form.addEventListener("paste", (event) => {
    // What is copied from a text processor comes as a text, and as a picture of it too.
    if (!event.clipboardData?.types.includes("text/plain")) taken(event, event.clipboardData);
  });
}
