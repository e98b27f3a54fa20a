// A table whose rows are kept by key, so that an update touches only the cells that change.

import { el, mark, say } from "./dom.js";

/** `columns`: {label, text(row), class?(row), number?, cell?(row) for elements that are made once a row}. */
export function table(label, columns, emptyText) {
  const head = el("tr", {}, ...columns.map((column) => el("th", { scope: "col", class: column.number ? "num" : null }, column.label)));
  const body = el("tbody");
  const empty = el("p", { class: "empty" }, emptyText);
  const element = el("div", { class: "scroll" }, el("table", { "aria-label": label }, el("thead", {}, head), body), empty);
  const known = new Map();

  function make(row) {
    const cells = columns.map((column) => {
      const cell = el("td", { class: column.number ? "num" : null });
      if (column.cell) cell.append(column.cell(row));
      return cell;
    });
    return { cells, element: el("tr", {}, ...cells), row };
  }

  return {
    element,
    /** Show these rows: [key, row], in this order. */
    show(rows) {
      const shown = rows.map(([key, row]) => {
        const made = known.get(key) ?? make(row);
        known.set(key, made);
        Object.assign(made.row, row);
        columns.forEach((column, at) => {
          if (column.text) say(made.cells[at], column.text(row));
          if (column.class) mark(made.cells[at], "class", `${column.number ? "num " : ""}${column.class(row) ?? ""}`);
        });
        mark(made.element, "data-busted", row.busted_at ? "true" : null);
        return [key, made];
      });
      const keys = new Set(rows.map(([key]) => key));
      for (const key of [...known.keys()]) if (!keys.has(key)) known.delete(key);
      const elements = shown.map(([, made]) => made.element);
      const isSame = elements.length === body.children.length && elements.every((one, at) => body.children[at] === one);
      if (!isSame) body.replaceChildren(...elements);
      empty.hidden = rows.length > 0;
    },
    explain(text) {
      say(empty, text);
    },
  };
}
