// Figures and times as people read them.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const digits = (value, places) => value.toFixed(places).replace(/\.?0+$/, "");

/** [figure, unit] of a value: `unit` is what schemas/metrics.py or the panel says. */
export function figure(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return ["–", ""];
  if (unit === "seconds") return duration(value);
  if (unit === "bytes") return bytes(value);
  if (unit === "ratio") return [`${Math.round(value * 100)}`, "%"];
  return [count(value), unit === "1" ? "" : unit];
}

export const text = (value, unit) => figure(value, unit).filter(Boolean).join(" ");

function count(value) {
  if (Math.abs(value) >= 100_000) return short.format(value);
  if (Number.isInteger(value) || Math.abs(value) >= 100) return grouped.format(value);
  return digits(value, Math.abs(value) >= 10 ? 1 : 2);
}

function duration(seconds) {
  if (seconds < 0.9995) return [`${Math.round(seconds * 1000)}`, "ms"];
  if (seconds < 10) return [digits(seconds, 2), "s"];
  if (seconds < 90) return [digits(seconds, 1), "s"];
  if (seconds < 5400) return [`${Math.round(seconds / 60)}`, "min"];
  if (seconds < 129_600) return [digits(seconds / 3600, 1), "h"];
  return [digits(seconds / 86_400, 1), "days"];
}

function bytes(value) {
  if (value < 2 ** 20) return [`${Math.ceil(value / 1024)}`, "KiB"];
  if (value < 2 ** 30) return [`${Math.round(value / 2 ** 20)}`, "MiB"];
  return [digits(value / 2 ** 30, 1), "GiB"];
}

/** How long something lasts, in one unit and whole numbers: 4 s, 12 min, 3 h. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 129_600) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86_400)} days`;
}

export const ago = (seconds) => (seconds < 1 ? "just now" : `${span(seconds)} ago`);

/** Milliseconds since 1970 of what ClickHouse writes as a time. */
export const moment = (iso) => Date.parse(iso);

/** `scene_label` and `wrong_sha256` as words. */
export const plain = (name) => String(name).replaceAll("_", " ");
