// The keyboard: single keys, while nobody types into a field and no dialog is open.

export const KEYS = [
  ["/", "find an instrument"],
  ["b", "buy: to the quantity"],
  ["s", "sell: to the quantity"],
  ["o", "to the order book; arrows move, Enter takes the price"],
  ["a", "to your orders; arrows switch between tabs"],
  ["t", "light or dark"],
  ["?", "this list"],
  ["Esc", "leave a field or a list"],
];

const isTyping = (element) => element?.matches?.("input:not([type=radio]):not([type=checkbox]), select, textarea");

/** `actions`: key -> what it does. */
export function keys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") document.activeElement?.blur();
    else if (!isTyping(event.target) && actions[event.key]) {
      event.preventDefault();
      actions[event.key]();
    }
  });
}
