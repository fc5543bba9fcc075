// What is running: the processes that the stack watches, and what their workers say of themselves.

import { element } from "./elements.js";
import { moment, span, text } from "./words.js";

const SILENT_SECONDS = 5; // a worker speaks every second

/** Seconds since any worker was heard of: how old everything is that comes through ClickHouse. Infinity: never in this span. */
export const silence = (workers, now) => now - Math.max(...workers.map((worker) => moment(worker.heard_at) / 1000));

/** One entry a process or agent. `servers`: the stack's, null without one; `workers`: records of the panel workers; `now` in seconds. */
export function parts(servers, workers, now) {
  const newest = silence(workers, now);
  const agents = new Map();
  for (const worker of workers) {
    // How long it has been silent while others spoke: when none is heard, the fault lies between them and ClickHouse.
    const heard = now - moment(worker.heard_at) / 1000 - newest;
    const agent = agents.get(worker.agent) ?? { name: worker.agent, up: 0, memory: 0, heard };
    agent.up += worker.up ? 1 : 0;
    agent.memory += worker.up ? worker.resident_bytes : 0;
    agent.heard = Math.min(agent.heard, heard);
    agents.set(worker.agent, agent);
  }
  const watched = (servers ?? []).map((server) => {
    const agent = agents.get(server.name);
    agents.delete(server.name);
    return { name: server.name, address: server.address, memory: agent?.memory, ...watchedState(server, agent, now) };
  });
  const others = [...agents.values()].map((agent) => {
    const { name, memory, heard } = agent;
    return { name, memory, address: "", ...state({ ...agent, heard: newest > SILENT_SECONDS ? heard + newest : heard }) };
  });
  return [...watched, ...others];
}

function watchedState(server, agent, now) {
  if (server.since === null) {
    const code = server.last_exit_code === null ? "" : `, exit code ${server.last_exit_code}`;
    return { state: "down", words: `stopped${code}` };
  }
  if (!server.healthy) return { state: "silent", words: "does not answer" };
  const up = now - moment(server.since) / 1000;
  if (agent && agent.heard > SILENT_SECONDS) {
    return agent.heard > up ? { state: "starting", words: "starting" } : { state: "silent", words: `silent for ${span(agent.heard)}` };
  }
  const times = server.restarts === 1 ? "once" : `${server.restarts} times`;
  return { state: "up", words: `up ${span(up)}${server.restarts ? `, restarted ${times}` : ""}` };
}

function state(agent) {
  if (agent.heard > SILENT_SECONDS) return { state: agent.up ? "silent" : "down", words: `not heard for ${span(agent.heard)}` };
  return { state: agent.up ? "up" : "down", words: agent.up > 1 ? `${agent.up} workers up` : agent.up ? "up" : "stopped" };
}

export class Running {
  #body = element("tbody");

  constructor(place) {
    const head = element("thead", "unseen", element("tr", "", ...["Part", "State", "Memory"].map((name) => element("th", "", name))));
    place.append(element("table", "rows", head, this.#body));
  }

  draw(all) {
    this.#body.replaceChildren(...all.map(row));
  }
}

function row({ name, address, state, words, memory }) {
  const dot = element("span", "dot");
  dot.setAttribute("aria-hidden", "true");
  const said = element("span", "state", dot, words);
  said.dataset.state = state;
  const line = element(
    "tr",
    "",
    element("td", "", name, address ? element("small", "", address) : null),
    element("td", "", said),
    element("td", "figure", memory ? text(memory, "bytes") : ""),
  );
  line.dataset.part = name;
  line.dataset.state = state;
  return line;
}

