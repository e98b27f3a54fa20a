// Light or dark: what the system says, until somebody chooses.

import { Signal } from "./signals.js";

const system = matchMedia("(prefers-color-scheme: dark)");

/** A colour of the style sheet as the browser computes it, for what is drawn on a canvas. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** "dark" or "light"; `choose` switches. */
export class Theme extends Signal {
  constructor(wanted) {
    super(wanted ?? (system.matches ? "dark" : "light"));
    document.documentElement.dataset.theme = this.value;
    system.addEventListener("change", () => !wanted && this.choose(system.matches ? "dark" : "light"));
  }

  choose(name) {
    document.documentElement.dataset.theme = name;
    this.set(name);
  }

  toggle() {
    this.choose(this.value === "dark" ? "light" : "dark");
  }
}
