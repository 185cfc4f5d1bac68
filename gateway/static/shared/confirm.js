/** A question that a dialog of index.html asks: its form has a button `yes` and one that leaves all as it is. */

/** @param {HTMLDialogElement} dialog @returns {Promise<boolean>} whether it was answered with `yes` */
export async function confirmed(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue === "yes";
}
