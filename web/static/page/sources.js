// Which call feeds which panel, and up to which seq it shows: each panel's heading says it, and `?` lists all.

import { el, mark, say } from "./dom.js";
import { grouped } from "./decimals.js";

const sources = [];

/** The heading of a panel, with the call that feeds it; `.at(seq)` says how far the panel is. */
export function heading(title, call, ...more) {
  const seq = el("span", { class: "seq" });
  const name = el("h2", { title: call }, title);
  const element = el("div", { class: "heading" }, name, ...more, seq);
  const source = { title, call, seq: null };
  sources.push(source);
  return {
    element,
    at(number) {
      if (source.seq === number) return;
      source.seq = number;
      say(seq, number === null ? "" : `seq ${grouped(number)}`);
      mark(seq, "title", `${source.call} — everything up to seq ${number}`);
    },
    from(nextCall) {
      source.call = nextCall;
      name.title = nextCall;
    },
    named(nextTitle) {
      say(name, nextTitle);
    },
  };
}

/** Every panel's title, call and seq. */
export const allSources = () => sources;
