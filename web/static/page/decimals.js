// Exact decimals: text to BigInt and back. Prices and amounts never become floats, except to draw pixels.

export const PLACES = 8;
const ONE = 10n ** BigInt(PLACES);

/** "69900.5" as an integer number of 10^-8; throws for anything else. */
export function units(text) {
  const found = /^(-?)(\d+)(?:\.(\d{1,8}))?$/.exec(text);
  if (!found) throw new SyntaxError(`not a decimal: ${text}`);
  const size = BigInt(found[2]) * ONE + BigInt((found[3] ?? "").padEnd(PLACES, "0"));
  return found[1] ? -size : size;
}

/** As `units`, or null for text that a person is still typing. */
export function typed(text) {
  try {
    return units(text.trim());
  } catch {
    return null;
  }
}

/** An integer number of 10^-8 as text with this many decimals, cut off; zero has no sign. */
export function plain(size, decimals) {
  const digits = (size < 0n ? -size : size).toString().padStart(PLACES + 1, "0");
  const whole = digits.slice(0, -PLACES);
  const rest = digits.slice(-PLACES).slice(0, decimals);
  const text = whole + (rest ? `.${rest}` : "");
  return size < 0n && /[1-9]/.test(text) ? `-${text}` : text;
}

/** The product of two such numbers, as such a number, cut off. */
export const times = (a, b) => (a * b) / ONE;

/** How many decimals a step such as "0.0001" has. */
export const decimalsOf = (step) => step.split(".")[1]?.length ?? 0;

/** The text of a decimal with commas between thousands: 70,000.00. */
export function grouped(text) {
  const [whole, rest] = String(text).split(".");
  const commas = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest === undefined ? commas : `${commas}.${rest}`;
}

/** For widths of bars only: a fraction of two such numbers as a float between 0 and 1. */
export const share = (part, whole) => (whole > 0n ? Math.min(1, Number((part * 10_000n) / whole) / 10_000) : 0);
