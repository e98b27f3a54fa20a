// The page: makes its parts, says who hears whom, and begins.

import { Api } from "./api.js";
import { Bars } from "./bars.js";
import { Cycles } from "./cycles.js";
import { byId } from "./dom.js";
import { keys } from "./keys.js";
import { MarketNow } from "./market.js";
import { Markets } from "./markets.js";
import { Orders } from "./orders.js";
import { account } from "./panels/account.js";
import { candles } from "./panels/candles.js";
import { connection } from "./panels/connection.js";
import { depth } from "./panels/depth.js";
import { headline } from "./panels/headline.js";
import { help } from "./panels/help.js";
import { instruments } from "./panels/instruments.js";
import { ladder } from "./panels/ladder.js";
import { ledger } from "./panels/ledger.js";
import { pipeline } from "./panels/pipeline.js";
import { tape } from "./panels/tape.js";
import { ticket } from "./panels/ticket.js";
import { who } from "./panels/who.js";
import { Prices } from "./prices.js";
import { NAME, Session } from "./session.js";
import { Stream } from "./stream.js";
import { Theme } from "./theme.js";

const given = new URLSearchParams(location.search);
const client = NAME.test(given.get("client") ?? "") ? given.get("client") : "me";
const theme = new Theme(["dark", "light"].includes(given.get("theme")) ? given.get("theme") : null);
const session = new Session(client);
const api = new Api(session);

/** Why no socket can be had. */
async function probe() {
  try {
    await api.get("/instruments");
  } catch (error) {
    return error.status === 401 ? "unauthorized" : "away";
  }
  return "there";
}

const stream = new Stream(session, probe);
const markets = new Markets(api, given.get("instrument"));
const market = new MarketNow(api, stream, markets);
const orders = new Orders(stream, session, markets);
const prices = new Prices(api, stream, markets);
const bars = new Bars(api, stream, markets);
const cycles = new Cycles(api, stream);
const parts = { api, session, stream, theme, markets, market, orders, prices, bars, cycles };

headline(parts);
connection(parts);
who(parts);
const found = instruments(parts);
candles(parts);
depth(parts);
const order = ticket(parts);
ladder({ ...parts, choosePrice: (level) => order.take(level) });
tape(parts);
account(parts);
pipeline(parts);
ledger(parts);
const sources = help(parts);

byId("theme").addEventListener("click", () => theme.toggle());
keys({
  "/": () => found.focus(),
  b: () => order.focus("buy"),
  s: () => order.focus("sell"),
  o: () => document.querySelector("#ladder .bids button:not([disabled]), #ladder .asks button:not([disabled])")?.focus(),
  a: () => document.querySelector('#account [role="tab"][aria-selected="true"]')?.focus(),
  t: () => theme.toggle(),
  "?": () => sources.open(),
});
session.wantsKey.on((sentence) => sentence !== null && orders.begin());
session.entered.on(() => {
  stream.connect();
  orders.begin();
  markets.ask();
  bars.begin();
});

/** The address names what is shown, so that it can be kept; never a key. */
function address() {
  const shown = new URLSearchParams(location.search);
  if (markets.chosen.value) shown.set("instrument", markets.chosen.value.name);
  if (!session.hasKey && session.client.value) shown.set("client", session.client.value);
  else shown.delete("client");
  history.replaceState(null, "", `?${shown}`);
}
markets.chosen.on(address);
session.client.on(address);

stream.connect();
markets.run();
