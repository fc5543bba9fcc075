// The page: asks for each panel every few seconds, draws what comes, and says how old it is when nothing does.

import { Chart } from "./chart.js";
import { element, say, sentence } from "./elements.js";
import { Panel, STALE_SECONDS, clock } from "./panel.js";
import { Running, parts, silence } from "./running.js";
import { Table } from "./table.js";
import { Wall } from "./wall.js";
import { figure, plain, span } from "./words.js";

const POLL_MS = 2000;
const TIMEOUT_MS = 15_000; // the server gives ClickHouse half of it

// Panels with a place of their own; every other one is drawn below, by its kind.
const BESIDE_THE_WALL = ["throughput", "latency", "lag", "dead_letters", "records", "model_latency"];

// Asked for in every round; the others in every third, since each costs the machine that it is about some 15 ms of work.
const QUICK = ["totals", "workers", "wall", "dead_letters_latest", "throughput", "latency", "lag"];
const SLOW_ROUNDS = 3;

const $ = (id) => document.getElementById(id);

class Unanswered extends Error {}

const records = ({ columns, rows }) => rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));

class Page {
  #panels = new Map();
  #draws = new Map();
  #numbers = new Map();
  #seconds = 300;
  #servers = null;
  #quiet = { seconds: 0, at: clock() };
  #trouble = null;
  #heard = null;
  #round = new AbortController();

  async start() {
    this.#spans();
    setInterval(() => this.#tick(), 500);
    document.addEventListener("visibilitychange", () => document.hidden || this.#again());
    while (this.#panels.size === 0) {
      try {
        this.#place((await ask("/panels")).panels);
      } catch (error) {
        this.#fails(error);
        await pause(POLL_MS);
      }
    }
    this.#again();
  }

  #spans() {
    const chosen = new URLSearchParams(location.search).get("seconds");
    for (const input of document.querySelectorAll("#spans input")) {
      if (input.value === chosen) input.checked = true;
      if (input.checked) this.#seconds = Number(input.value);
      input.addEventListener("change", () => {
        this.#seconds = Number(input.value);
        history.replaceState(null, "", `?seconds=${input.value}`);
        this.#again();
      });
    }
  }

  /** Give every panel its place and its way of being drawn. */
  #place(listed) {
    for (const panel of listed) {
      const beside = BESIDE_THE_WALL.includes(panel.name);
      if (panel.kind === "numbers") this.#add(panel, "figures", $("numbers"), () => (answer) => this.#figures(panel, answer));
      else if (panel.name === "workers") this.#add(panel, "list", $("side"), (place) => this.#running(new Running(place)));
      else if (panel.name === "wall") this.#add(panel, "photos", $("wall"), (place) => this.#wall(new Wall(place)));
      else if (panel.kind === "series") this.#add(panel, "chart", $(beside ? "side" : "more"), (place) => this.#chart(panel, new Chart(place, panel.unit)));
      else this.#add(panel, "wide", $("tables"), (place) => this.#table(new Table(place)));
    }
  }

  #add(listed, className, where, drawing) {
    const rounds = QUICK.includes(listed.name) ? 1 : SLOW_ROUNDS;
    const panel = new Panel(listed, className, STALE_SECONDS + ((rounds - 1) * POLL_MS) / 1000);
    if (listed.kind === "numbers") where.prepend(panel.place);
    else where.append(panel.place);
    this.#panels.set(panel.name, panel);
    this.#draws.set(panel.name, drawing(panel.place));
  }

  // How each kind is drawn: from an answer to the value that a script reads, null when there is nothing.

  #figures(panel, answer) {
    const [values] = records(answer);
    for (const [name, value] of Object.entries(values)) this.#number(panel.name, name, value, "", plain(name));
    return values;
  }

  #chart(panel, chart) {
    const headline = HEADLINES[panel.name];
    const { place } = this.#panels.get(panel.name);
    return (answer) => {
      const figures = chart.draw(answer, [answer.asked_at - this.#seconds, answer.asked_at]);
      place.dataset.at = figures ? chart.newest : "";
      if (headline) for (const [name, value, title] of headline(figures ?? {})) this.#number(panel.name, name, value, panel.unit, title);
      return figures;
    };
  }

  #table(table) {
    return (answer) => table.draw(answer) || null;
  }

  #running(running) {
    let last = { columns: [], rows: [], asked_at: Date.now() / 1000 };
    let at = clock();
    return (answer) => {
      if (answer) {
        [last, at] = [answer, clock()];
        this.#quiet = { seconds: silence(records(answer), answer.asked_at), at };
      }
      const all = parts(this.#servers, records(last), last.asked_at + clock() - at);
      running.draw(all);
      return all.length ? Object.fromEntries(all.map(({ name, state }) => [name, state])) : null;
    };
  }

  #wall(wall) {
    return (answer) => {
      const rejected = this.#panels.get("dead_letters_latest")?.answer;
      return wall.draw(records(answer), rejected ? records(rejected) : [], answer.asked_at) || null;
    };
  }

  #number(panel, name, value, unit, title) {
    const id = `${panel}.${name}`;
    if (!this.#numbers.has(id)) {
      const place = element("div", "number", element("h3", "", title), element("output"));
      place.dataset.number = id;
      this.#numbers.set(id, place);
      $("figures").append(place);
    }
    const place = this.#numbers.get(id);
    const [amount, of] = figure(value, unit);
    place.dataset.value = value ?? "";
    place.lastChild.replaceChildren(amount, of ? element("span", "unit", ` ${of}`) : "");
  }

  // Asking, again and again.

  #again() {
    this.#round.abort();
    this.#round = new AbortController();
    this.#keepAsking(this.#round.signal);
  }

  async #keepAsking(signal) {
    for (let round = 0; !signal.aborted && !document.hidden; round++) {
      const due = [...this.#panels.values()].filter(({ name }) => round % SLOW_ROUNDS === 0 || QUICK.includes(name));
      await this.#askFor(due, signal);
      await pause(POLL_MS);
    }
  }

  async #askFor(panels, signal) {
    const seconds = this.#seconds;
    try {
      this.#servers = await ask("/running", signal);
      const asked = panels.map(async (panel) => [panel, await ask(`/panel/${panel.name}?seconds=${seconds}`, signal)]);
      const answers = await Promise.allSettled(asked);
      if (signal.aborted) return;
      // The wall needs the rejected ones at hand: answers first, then drawing.
      const came = answers.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
      for (const [panel, answer] of came) panel.answer = answer;
      for (const [panel, answer] of came) panel.took(answer, this.#draws.get(panel.name)(answer));
      const failed = answers.find(({ status }) => status === "rejected");
      // Whether ClickHouse answers or not: what the stack says of its servers is news.
      if (failed && this.#servers) this.#panels.get("workers").took({}, this.#draws.get("workers")(null));
      if (failed) throw failed.reason;
      this.#heard = clock();
      this.#trouble = null;
    } catch (error) {
      if (!signal.aborted) this.#fails(error);
    }
    this.#tick();
  }

  #fails(error) {
    if (!(error instanceof Unanswered)) console.error(error);
    this.#trouble = error instanceof Unanswered ? error.message : `This page has a fault: ${error}. Please report it.`;
  }

  // Saying how things stand.

  #tick() {
    const quiet = this.#quiet.seconds + (clock() - this.#quiet.at);
    for (const panel of this.#panels.values()) panel.tick(panel.name === "workers" ? 0 : quiet);
    const silent = Number.isFinite(quiet) ? `for ${span(Math.floor(quiet / 10) * 10)}` : "in this time span";
    const trouble = this.#trouble ?? (this.#heard && quiet > STALE_SECONDS ? `No worker has been heard of ${silent}: nothing new reaches this page. \`safelight status\` says what is up, \`safelight up\` starts it.` : null);
    const banner = $("banner");
    banner.hidden = trouble === null;
    if (trouble !== banner.dataset.words) {
      banner.dataset.words = trouble ?? "";
      banner.replaceChildren(...sentence(trouble ?? ""));
    }
    const pulse = $("pulse");
    pulse.dataset.state = trouble ? "stale" : this.#heard ? "live" : "waiting";
    say($("pulse-words"), trouble ? "not up to date" : this.#heard ? "live" : "connecting");
  }
}

const sum = (values) => Object.values(values).reduce((a, b) => a + b, 0);

// The large numbers that charts give: name, value, title.
const HEADLINES = {
  throughput: (figures) => [["now", sum(figures), "finished now"]],
  latency: ({ p50, p99 }) => [
    ["p50", p50, "upload to row, median"],
    ["p99", p99, "upload to row, p99"],
  ],
  lag: (figures) => [["now", Object.keys(figures).length ? sum(figures) : null, "lag"]],
};

/** JSON. Throws Unanswered, with what to do, when the server or ClickHouse does not answer. */
async function ask(path, signal) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let response, body;
  try {
    response = await fetch(path, { signal: signal ? AbortSignal.any([signal, limit]) : limit });
    body = await response.json();
  } catch {
    throw new Unanswered("The server of this page does not answer. Start it with `safelight up`: the page catches up by itself.");
  }
  if (!response.ok) throw new Unanswered(body.detail);
  return body;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

new Page().start();
