// The wall: the last photos, newest first, with what was seen in each, or why it was turned away.

import { element } from "./elements.js";
import { ago, moment, plain } from "./words.js";

const SHOWN = 24;
const SHOWN_LABELS = 3;

const percent = (score) => `${Math.round(score * 100)} %`;

export class Wall {
  #list = element("ul", "prints");
  #prints = new Map();
  #drawn = false;

  constructor(place) {
    place.append(this.#list);
  }

  /** Records of the panels wall and dead_letters_latest; `now` in seconds since 1970. How many photos are up. */
  draw(photos, rejected, now) {
    const all = [
      ...photos.map((photo) => ({ ...photo, at: moment(photo.stored_at) })),
      ...rejected.map((photo) => ({ ...photo, at: moment(photo.rejected_at) })),
    ];
    all.sort((a, b) => b.at - a.at);
    const up = new Map();
    for (const photo of all.slice(0, SHOWN)) {
      const id = [photo.owner_id, photo.photo_id, photo.root_partition, photo.root_offset, photo.at].join("\n");
      // What is up stays up, so that no picture is asked for twice.
      const print = this.#prints.get(id) ?? this.#develop(photo);
      print.querySelector("time").textContent = ago(now - photo.at / 1000);
      up.set(id, print);
    }
    for (const [id, print] of this.#prints) if (!up.has(id)) print.remove();
    [...up.values()].forEach((print, i) => {
      if (this.#list.children[i] !== print) this.#list.insertBefore(print, this.#list.children[i] ?? null);
    });
    this.#prints = up;
    this.#drawn = true;
    return up.size;
  }

  #develop(photo) {
    const print = element("li", "print", ...(photo.reason ? rejected(photo) : seen(photo)));
    print.dataset.photo = photo.photo_id;
    print.dataset.outcome = photo.reason ?? "enriched";
    if (photo.reason) print.classList.add("rejected");
    else if (this.#drawn) print.classList.add("new");
    const foot = element("footer", "", element("time"), photo.photo_id && ` · ${photo.photo_id}`);
    if (photo.photo_id) foot.title = `photo ${photo.photo_id} of ${photo.owner_id}`;
    print.append(foot);
    return print;
  }
}

function seen(photo) {
  const [best, ...others] = photo.top_labels;
  const image = element("img");
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = best ? `A photo in which ${best[0]} was seen` : "A photo in which nothing was seen";
  image.addEventListener("load", () => image.classList.add("there"));
  image.src = `/photo?${new URLSearchParams({ owner: photo.owner_id, photo: photo.photo_id })}`;
  const head = element("h3", "", best ? best[0] : "nothing seen", best ? element("b", "", percent(best[1])) : null);
  const list = element("dl", "seen", ...others.slice(0, SHOWN_LABELS - 1).map(label));
  const missing = photo.missing.length ? element("p", "why", `Not asked yet: ${photo.missing.map(plain).join(", ")}`) : null;
  return [element("div", "sheet", image), head, list, missing].filter(Boolean);
}

function label([name, score]) {
  const filled = element("i");
  filled.style.width = `${score * 100}%`;
  const bar = element("span", "bar", filled);
  bar.setAttribute("aria-hidden", "true");
  return element("div", "", element("dt", "", name), bar, element("dd", "", percent(score)));
}

function rejected(photo) {
  const sheet = element("div", "sheet", element("p", "", element("small", "", "Rejected"), plain(photo.reason)));
  return [sheet, element("p", "why detail", photo.detail), element("p", "why", photo.advice)];
}
