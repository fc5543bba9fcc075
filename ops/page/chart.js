// One small chart over time, drawn by uPlot; all charts share their cursor.

import { element } from "./elements.js";
import { plain, text } from "./words.js";

const { uPlot } = window;
const HEIGHT = 136;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const series = (name, index) => (name === "rejected" ? "--red" : `--series-${(index % 5) + 1}`);

// Units in which a figure means little without them; any other stands once, in the panel's head.
export const SPOKEN = ["seconds", "bytes"];
// What is counted by interval: dots, since between two of them there is nothing; its figure is the sum over the span.
const COUNTED = ["dead letters"];
const WHOLES = [...COUNTED, "records", "workers"];
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8, 1e9];

/** Columns of the rows, one a line: [t, a, b, …], or [t, label, value] with one line a label. Times in seconds. */
export function lines({ columns, rows }) {
  if (columns.length !== 3 || !rows.some((row) => typeof row[1] === "string")) {
    return { names: columns.slice(1), data: [rows.map((row) => row[0]), ...columns.slice(1).map((_, i) => rows.map((row) => row[i + 1]))] };
  }
  const names = [...new Set(rows.map((row) => row[1]))].sort();
  const times = [...new Set(rows.map((row) => row[0]))].sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  const values = names.map(() => new Array(times.length).fill(null));
  for (const row of rows) values[names.indexOf(row[1])][at.get(row[0])] = row[2];
  return { names, data: [times, ...values] };
}

/** Without the interval that is not over yet: its rate would seem to fall. */
function whole({ columns, rows, rounding, asked_at: now }) {
  return { columns, rows: rows.filter(([t]) => t + rounding <= now) };
}

export class Chart {
  #plot = null;
  #keys = element("dl", "keys");
  #place = element("div", "plot");
  #names = [];
  #data = [[]];
  #range = [0, 1];

  constructor(panel, unit) {
    this.unit = unit;
    this.spoken = SPOKEN.includes(unit) ? unit : "";
    this.counted = COUNTED.includes(unit);
    this.#place.setAttribute("role", "img");
    panel.append(this.#keys, this.#place);
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#place.clientWidth, height: HEIGHT })).observe(this.#place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#plot?.redraw(false));
  }

  /** `range`: from and to, in seconds since 1970. The figure of each line, by its name; null when there is nothing to draw. */
  draw(answer, range) {
    const { names, data } = lines(this.unit.endsWith("/s") ? whole(answer) : answer);
    this.#keys.hidden = this.#place.hidden = !data.slice(1).flat().some((value) => value !== null);
    if (this.#place.hidden) return null;
    const anew = names.join("\n") !== this.#names.join("\n");
    [this.#names, this.#data, this.#range] = [names, data, range];
    if (anew || !this.#plot) this.#build();
    else this.#plot.setData(data);
    this.#tell(null);
    this.#place.setAttribute("aria-label", this.#summary());
    return this.#figures();
  }

  /** When the newest value of any line is from: the beginning of its interval. */
  get newest() {
    return this.#data[0].findLast((_, i) => this.#data.some((values, line) => line > 0 && values[i] !== null));
  }

  /** Each line's newest value, or the sum of what is counted. */
  #figures() {
    const last = (values) => values.findLast((value) => value !== null) ?? null;
    const sum = (values) => values.reduce((a, b) => a + (b ?? 0), 0);
    return Object.fromEntries(this.#names.map((name, i) => [name, (this.counted ? sum : last)(this.#data[i + 1])]));
  }

  #build() {
    this.#plot?.destroy();
    this.#keys.replaceChildren(...this.#names.map((name, i) => key(plain(name), series(name, i))));
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: () => colour("--quiet"), font, ticks: { show: false } };
    const grid = { stroke: () => colour("--line"), width: 1 };
    this.#plot = new uPlot(
      {
        width: this.#place.clientWidth,
        height: HEIGHT,
        padding: [8, 14, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { setScale: false }, points: { size: 6 }, sync: { key: "time" } },
        scales: { x: { range: () => this.#range }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
        axes: [
          { ...axis, size: 24, space: 48, grid: { show: false }, values: clock },
          { ...axis, size: 52, space: 34, gap: 6, grid, values: (_, splits) => splits.map((value) => text(value, this.spoken)), ...(WHOLES.includes(this.unit) ? { incrs: WHOLE } : {}) },
        ],
        series: [
          {},
          ...this.#names.map((name, i) => ({
            label: name,
            width: 1.75,
            stroke: () => colour(series(name, i)),
            fill: this.#names.length === 1 ? () => `color-mix(in srgb, ${colour(series(name, i))} 14%, transparent)` : undefined,
            points: { show: true, size: 6, width: 0, fill: () => colour(series(name, i)), filter: this.counted ? undefined : alone },
            ...(this.counted ? { paths: () => null } : {}),
          })),
        ],
        hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx ?? null)] },
      },
      this.#data,
      this.#place,
    );
  }

  #tell(index) {
    const figures = this.#figures();
    this.#names.forEach((name, i) => {
      const value = index === null ? figures[name] : this.#data[i + 1][index];
      this.#keys.children[i].lastChild.textContent = text(value, this.spoken);
    });
  }

  #summary() {
    const most = (values) => values.reduce((a, b) => (b !== null && b > a ? b : a), 0);
    const figures = this.#figures();
    const when = this.counted ? "" : "now ";
    return this.#names
      .map((name, i) => `${plain(name)}: ${when}${text(figures[name], this.unit)}, highest ${text(most(this.#data[i + 1]), this.unit)}`)
      .join("; ");
  }
}

/** Points without a neighbour, which no line shows. */
function alone({ data }, line) {
  const there = (i) => (data[line][i] ?? null) !== null;
  return data[line].flatMap((_, i) => (there(i) && !there(i - 1) && !there(i + 1) ? [i] : []));
}

function key(name, colourName) {
  const group = element("div", "", element("dt", "", name), element("dd"));
  group.style.setProperty("--key", `var(${colourName})`);
  return group;
}

const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clock = (_, splits) => splits.map((seconds) => hours.format(seconds * 1000));
