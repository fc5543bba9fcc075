// The wall: the last photos, newest first, with what was seen in each or why it was turned away.

import { ago, moment, plain } from "./words.js";

const SHOWN_LABELS = 3;

/** A text element; whatever the text is, it stays text. */
function element(tag, words = "", className = "") {
  const made = document.createElement(tag);
  if (words) made.textContent = words;
  if (className) made.className = className;
  return made;
}

const percent = (score) => `${Math.round(score * 100)} %`;

export class Wall {
  #list = element("ul", "", "prints");
  #prints = new Map();
  #advice;
  #drawn = false;

  constructor(panel, advice) {
    this.#advice = advice;
    panel.append(this.#list);
  }

  /** The records' order is the wall's; what is already up stays up, so that no picture is asked for twice. */
  draw(photos) {
    const up = new Map();
    for (const photo of photos) {
      const print = this.#prints.get(photo.id) ?? this.#develop(photo);
      print.querySelector("time").textContent = ago((Date.now() - moment(photo.at)) / 1000);
      up.set(photo.id, print);
    }
    for (const [id, print] of this.#prints) if (!up.has(id)) print.remove();
    [...up.values()].forEach((print, i) => {
      if (this.#list.children[i] !== print) this.#list.insertBefore(print, this.#list.children[i] ?? null);
    });
    this.#prints = up;
    this.#drawn = true;
  }

  #develop(photo) {
    const print = element("li", "", "print");
    print.dataset.photoId = photo.photo_id;
    print.dataset.outcome = photo.reason ? "rejected" : "enriched";
    print.append(...(photo.reason ? this.#rejected(photo) : this.#seen(photo)));
    if (photo.reason) print.classList.add("rejected");
    else if (this.#drawn) print.classList.add("new");
    const foot = element("footer", "", "");
    foot.append(element("time"), ` · ${photo.photo_id}`);
    foot.title = photo.photo_id;
    print.append(foot);
    return print;
  }

  #seen(photo) {
    const labels = photo.labels ?? [];
    const [best, ...others] = labels;
    const sheet = element("div", "", "sheet");
    const image = element("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = best ? `Photo in which ${best[0]} was seen` : "Photo in which nothing was seen";
    image.src = `/photo/${encodeURIComponent(photo.id)}`;
    sheet.append(image);
    const head = element("h3", best ? best[0] : "nothing seen");
    if (best) head.append(element("b", percent(best[1])));
    const list = element("dl", "", "seen");
    for (const [name, score] of others.slice(0, SHOWN_LABELS - 1)) {
      const line = element("div");
      const bar = element("span", "", "bar");
      const filled = element("i");
      filled.style.width = percent(score).replace(" ", "");
      bar.setAttribute("aria-hidden", "true");
      bar.append(filled);
      line.append(element("dt", name), bar, element("dd", percent(score)));
      list.append(line);
    }
    return [sheet, head, list];
  }

  #rejected(photo) {
    const sheet = element("div", "", "sheet");
    sheet.append(element("p", `Rejected: ${plain(photo.reason)}`));
    const why = element("p", photo.detail, "why");
    const advice = this.#advice[photo.reason];
    return advice ? [sheet, why, element("p", advice, "why")] : [sheet, why];
  }
}
