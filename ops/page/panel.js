// One panel's place on the page, what it shows, and how old that is.

import { SPOKEN } from "./chart.js";
import { element, say, sentence } from "./elements.js";
import { span } from "./words.js";

export const STALE_SECONDS = 7; // a worker speaks every second, store and this page take a moment: what is older has stopped

export const clock = () => performance.now() / 1000; // seconds, never set back

const EMPTY = {
  wall: "No photos yet: `safelight publish DIR`",
  workers: "No worker has been heard of in this time span: `safelight up`",
  dead_letters: "None in this time span.",
  dead_letters_by_reason: "None in this time span.",
  waiting: "No agent has waited in this time span.",
};

export class Panel {
  answer = null;
  #at = 0;
  #age = element("span", "age");
  #empty = element("p", "empty");

  /** `patience`: what is older, in seconds, is stale. */
  constructor(listed, className, patience) {
    const of = listed.kind === "series" && !SPOKEN.includes(listed.unit) ? element("span", "of", listed.unit) : null;
    this.name = listed.name;
    this.patience = patience;
    this.place = element("section", `panel ${className}`, element("h2", "", element("span", "title", listed.title), this.#age, of), this.#empty);
    this.place.dataset.panel = listed.name;
    this.place.dataset.state = "waiting";
    this.place.setAttribute("aria-label", listed.title);
    this.#age.hidden = this.#empty.hidden = true;
  }

  /** `value`: what a script reads; null: there is nothing to show. */
  took(answer, value) {
    this.answer = answer;
    this.#at = clock();
    this.place.dataset.value = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    this.#empty.hidden = value !== null;
    if (value === null) this.#empty.replaceChildren(...sentence(EMPTY[this.name] ?? "Nothing in this time span."));
  }

  /** `quiet`: how long nothing new has reached ClickHouse. */
  tick(quiet) {
    if (!this.answer) return;
    const age = Math.max(clock() - this.#at, quiet);
    const stale = age > this.patience;
    this.place.dataset.state = stale ? "stale" : this.#empty.hidden ? "fresh" : "empty";
    this.place.dataset.age = Math.min(age, 1e9).toFixed(1);
    this.#age.hidden = !stale;
    if (stale) say(this.#age, Number.isFinite(age) ? `${span(age)} old` : "old");
  }
}
