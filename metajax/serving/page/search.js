// Search of the catalogue; without a text, what most people have rated.

import { arrange, byId, count, make, named, titleNode } from "/page/dom.js";
import { search } from "/page/service.js";
import { stars } from "/page/stars.js";

const RESULTS = 6;
const SPELT_ALIKE = 0.25; // the score of titles that only resemble the text
const TYPING = 200; // milliseconds
let rows = new Map();
let context = null;
let asked = null;

/** Start the search; `options` has scale, ratings (item -> {rating}), rate and guard, which reports what goes wrong. */
export function startSearch(options) {
  context = options;
  rows = new Map();
  let timer = null;
  byId("query").oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(look, TYPING);
  };
  byId("search-form").onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(timer);
    look();
  };
  return look();
}

/** Show in the results what was rated elsewhere. */
export function syncSearch() {
  for (const [item, row] of rows) row.control.set(context.ratings.get(item)?.rating ?? null);
}

function look() {
  const query = byId("query").value.trim();
  asked?.abort();
  asked = new AbortController();
  return context.guard("search", async () => show(query, await search(query, RESULTS, asked.signal)), look);
}

function show(query, items) {
  byId("found").textContent = found(query, items);
  rows = new Map(items.map((one) => [one.item, rows.get(one.item) ?? makeRow(one)]));
  arrange(
    byId("results"),
    [...rows.values()].map((row) => row.node),
  );
  syncSearch();
}

function found(query, items) {
  if (!query) return items.length ? "Those that most people know:" : "The catalogue is empty.";
  if (!items.length) return `Nothing is like “${query}”. Try one word of the title, or fewer letters.`;
  if (items[0].score <= SPELT_ALIKE)
    return `Nothing is called “${query}”; ${items.length === 1 ? "this is" : "these are"} spelt alike:`;
  return items.length === RESULTS
    ? `The ${RESULTS} best matches:`
    : `${count(items.length, "match").replace("matchs", "matches")}:`;
}

function makeRow(one) {
  const control = stars({
    scale: context.scale,
    legend: `Rate ${named(one).name}`,
    onRate: (rating) => context.rate(one, rating),
  });
  return { control, node: make("li", { attributes: { "data-item": one.item } }, titleNode(one), control.node) };
}
