// Elements made from words. Whatever the words are, they stay words: nothing here, or anywhere on the page, parses HTML.

/** An element with a class and contents: text, elements, or null for nothing. */
export function element(tag, className = "", ...contents) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...contents.filter((part) => part !== null && part !== ""));
  return made;
}

/** Words in which `code` marks commands: "Start it with `safelight up`." */
export const sentence = (words) => words.split("`").map((part, i) => (i % 2 ? element("code", "", part) : part));

/** Set a text only when it differs: an aria-live region speaks once, and a selection survives. */
export function say(place, words) {
  if (place.textContent !== words) place.textContent = words;
}
