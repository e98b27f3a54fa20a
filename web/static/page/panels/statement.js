// The client's statement of the last cycle: `GET /clients/{client}/statements/{cycle}`.

import { grouped } from "../decimals.js";
import { heading } from "../sources.js";
import { table } from "../table.js";
import { clock } from "./tape.js";

export function statement({ api, session, cycles }) {
  const head = heading("Last statement", "GET /api/v1/clients/{client}/statements/{cycle}");
  const rows = table(
    "Statement",
    [
      { label: "Row", text: (row) => row.row.replaceAll("_", " ") },
      { label: "Asset", text: (row) => row.asset ?? "" },
      { label: "Amount", number: true, text: (row) => (row.amount ? grouped(row.amount) : "") },
      { label: "Trade", text: (row) => row.trade_id ?? "" },
      { label: "Side", text: (row) => row.side ?? "", class: (row) => (row.side === "buy" ? "up" : row.side ? "down" : "") },
      { label: "Price", number: true, text: (row) => (row.price ? grouped(row.price) : "") },
      { label: "Quantity", number: true, text: (row) => row.quantity ?? "" },
      { label: "Fee", number: true, text: (row) => row.fee ?? "" },
      { label: "Time", text: (row) => (row.time ? clock(row.time) : "") },
    ],
    "No cycle is sealed yet. `POST /api/v1/settlements` closes one.",
  );
  let shownOf = "";

  async function ask() {
    const client = session.client.value;
    const cycle = cycles.sealed.value;
    if (!client || !cycle || shownOf === `${client} ${cycle.cycle}`) return;
    try {
      const { body } = await api.get(`/clients/${encodeURIComponent(client)}/statements/${cycle.cycle}`);
      rows.show(body.rows.map((row, at) => [`${cycle.cycle} ${at}`, row]));
      head.named(`Statement of ${client}, cycle ${cycle.cycle}`);
      shownOf = `${client} ${cycle.cycle}`;
    } catch (error) {
      rows.show([]);
      rows.explain(error.message);
    }
  }

  session.client.on(() => {
    rows.show([]);
    shownOf = "";
    ask();
  });
  cycles.sealed.on(ask);
  return { name: "Statement", head, element: rows.element, shown: ask };
}
