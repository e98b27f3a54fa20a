// What the client holds in each instrument, from its recorded trades: `GET /clients/{client}/positions`.

import { grouped } from "../decimals.js";
import { polling } from "../polling.js";
import { heading } from "../sources.js";
import { table } from "../table.js";

const EVERY_MS = 10_000;

export function positions({ api, session, orders, stream }) {
  const head = heading("Positions", "GET /api/v1/clients/{client}/positions");
  let known = [];
  const signed = (text) => (text?.startsWith("-") ? "down" : text === "0" ? "muted" : "up");
  const rows = table(
    "Positions",
    [
      { label: "Instrument", text: (position) => position.instrument },
      { label: "Quantity", number: true, text: (position) => grouped(position.quantity), class: (position) => signed(position.quantity) },
      { label: "Average cost", number: true, text: (position) => (position.average_cost ? grouped(position.average_cost) : "–") },
      { label: "Bought", number: true, text: (position) => grouped(position.bought) },
      { label: "Sold", number: true, text: (position) => grouped(position.sold) },
      { label: "Fees", number: true, text: (position) => grouped(position.fees) },
      { label: "Realised cash", number: true, text: (position) => grouped(position.realised_cash) },
    ],
    "No positions: this client has not traded.",
  );

  const asked = polling(async () => {
    const client = session.client.value;
    if (!client) return;
    try {
      known = (await api.get(`/clients/${encodeURIComponent(client)}/positions`)).body;
      rows.explain("No positions: this client has not traded.");
    } catch (error) {
      rows.explain(error.message);
      return;
    }
    rows.show(known.map((position) => [position.instrument, position]));
    head.named(`Positions of ${client}`);
  }, EVERY_MS);

  session.client.on(() => {
    rows.show([]);
    asked.soon();
  });
  orders.filled.on(() => asked.soon());
  stream.state.on((state) => state === "live" && asked.soon());
  return { name: "Positions", head, element: rows.element, shown: asked.begin };
}
