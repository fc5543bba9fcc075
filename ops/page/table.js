// A table of rows as they came, times as ages.

import { element } from "./elements.js";
import { ago, moment, plain } from "./words.js";

const A_TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

export class Table {
  #head = element("thead");
  #body = element("tbody");

  constructor(place) {
    place.append(element("div", "scroll", element("table", "rows", this.#head, this.#body)));
  }

  /** How many rows. */
  draw({ columns, rows, asked_at: now }) {
    this.#head.replaceChildren(...(rows.length ? [element("tr", "", ...columns.map((name, i) => header(name, rows[0][i])))] : []));
    this.#body.replaceChildren(...rows.map((row) => element("tr", "", ...row.map((value) => cell(value, now)))));
    return rows.length;
  }
}

const header = (name, value) => element("th", typeof value === "number" ? "figure" : "", plain(name));

function cell(value, now) {
  if (typeof value === "number") return element("td", "figure", String(value));
  if (!A_TIME.test(value)) return element("td", "", String(value));
  const time = element("td", "", ago(now - moment(value) / 1000));
  time.title = value;
  return time;
}
