// A table of rows as they came, times as ages.

import { element } from "./elements.js";
import { ago, moment, plain } from "./words.js";

const A_TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
const SHOWN = 6;
const SHORT = 24; // characters that are not worth a second line

export class Table {
  #head = element("thead");
  #body = element("tbody");
  #more = element("button");
  #all = false;
  #answer = null;

  constructor(place) {
    this.#more.type = "button";
    this.#more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.draw(this.#answer);
    });
    place.append(element("div", "scroll", element("table", "rows", this.#head, this.#body)), this.#more);
  }

  /** How many rows there are. */
  draw(answer) {
    const { columns, rows, asked_at: now } = (this.#answer = answer);
    const shown = this.#all ? rows : rows.slice(0, SHOWN);
    this.#head.replaceChildren(...(rows.length ? [element("tr", "", ...columns.map((name, i) => header(name, rows[0][i])))] : []));
    this.#body.replaceChildren(...shown.map((row) => element("tr", "", ...row.map((value, i) => cell(columns[i], value, now)))));
    this.#more.hidden = rows.length <= SHOWN;
    this.#more.textContent = this.#all ? `Show the first ${SHOWN}` : `Show all ${rows.length}`;
    this.#more.setAttribute("aria-expanded", String(this.#all));
    return rows.length;
  }
}

const header = (name, value) => element("th", typeof value === "number" ? "figure" : "", plain(name));

function cell(name, value, now) {
  if (typeof value === "number") return element("td", "figure", String(value));
  const words = A_TIME.test(value) ? ago(now - moment(value) / 1000) : name === "reason" ? plain(value) : String(value);
  const made = element("td", words.length <= SHORT ? "short" : "", words);
  if (A_TIME.test(value)) made.title = value;
  return made;
}
