// The list of recommendations: each with its score, how sure the model is, why it is there, and a way to rate it.

import { arrange, byId, effect, make, named, plain, tenths, titleNode } from "/page/dom.js";
import { stars } from "/page/stars.js";

const STILL = matchMedia("(prefers-reduced-motion: reduce)");
let rows = new Map();
let panels = 0;

/**
 * Show a list; rows that stay move to their new places.
 *
 * `actions.explain` returns the reasons for an item, `actions.rate` rates one. Returns how many items are new to it.
 */
export function showList(items, { scale, actions }) {
  const before = new Map(
    [...rows].map(([item, row]) => [item, { rank: row.rank, top: row.node.getBoundingClientRect().top }]),
  );
  const isFirst = rows.size === 0;
  rows = new Map(items.map((one) => [one.item, rows.get(one.item) ?? makeRow(one, scale, actions)]));
  items.forEach((one, place) => fillRow(rows.get(one.item), one, place + 1, isFirst ? null : before, scale));
  arrange(
    byId("list"),
    [...rows.values()].map((row) => row.node),
  );
  if (!STILL.matches && !isFirst) for (const [item, row] of rows) glide(row.node, before.get(item)?.top);
  return isFirst ? 0 : items.filter((one) => !before.has(one.item)).length;
}

/** Take an item out at once, before the service has answered. */
export function dropFromList(item) {
  const row = rows.get(item);
  if (!row) return;
  if (row.node.contains(document.activeElement)) byId("list-heading").focus({ preventScroll: true });
  row.node.remove();
  rows.delete(item);
}

export function clearList() {
  rows.clear();
  byId("list").replaceChildren();
}

function makeRow(one, scale, actions) {
  const row = { rank: 0, node: make("li", { attributes: { "data-item": one.item } }) };
  row.place = make("span", { className: "rank", ariaHidden: "true" });
  row.moved = make("span", { className: "moved" });
  row.number = make("span", { className: "number", ariaHidden: "true" });
  row.sure = make("span", { className: "sure", ariaHidden: "true" });
  row.band = make(
    "span",
    { className: "band", ariaHidden: "true" },
    make("span", { className: "range" }),
    make("span", { className: "dot" }),
  );
  row.spoken = make("span", { className: "unseen" });
  const { name } = named(one);
  const why = disclosure("Why?", `Why is ${name} here?`, (panel) => fillReasons(panel, one, scale, actions));
  const seen = disclosure("I know it", `I know ${name}: rate it`, (panel) => {
    const control = stars({ scale, legend: `Rate ${name}`, onRate: (rating) => actions.rate(one, rating) });
    panel.replaceChildren(control.node);
    control.focus();
  });
  row.refresh = why.refresh;
  row.node.append(
    row.place,
    make("div", { className: "what" }, titleNode(one, "h3"), row.moved),
    make("div", { className: "score", hidden: !scale.predicts_ratings }, row.number, row.sure, row.band, row.spoken),
    make("div", { className: "acts" }, why.button, seen.button),
    why.panel,
    seen.panel,
  );
  return row;
}

function fillRow(row, one, rank, before, scale) {
  row.place.textContent = rank;
  row.moved.textContent = before ? movement(before.get(one.item)?.rank, rank) : "";
  row.moved.classList.toggle("fresh", before !== null && !before.has(one.item));
  row.rank = rank;
  const { score, uncertainty } = one;
  const width = scale.highest - scale.lowest || 1;
  const share = (rating) => `${(100 * Math.min(1, Math.max(0, (rating - scale.lowest) / width))).toFixed(1)}%`;
  const spread = uncertainty ?? 0;
  row.number.textContent = tenths(score);
  row.sure.textContent = uncertainty === null ? "" : `± ${tenths(uncertainty)}`;
  for (const [name, at] of [
    ["--from", score - spread],
    ["--at", score],
    ["--to", score + spread],
  ])
    row.band.style.setProperty(name, share(at));
  row.band.classList.toggle("blind", uncertainty === null);
  row.spoken.textContent = `Predicted ${tenths(score)} of ${plain(scale.highest)}${likely(score, uncertainty, scale)}.`;
  row.refresh();
}

function likely(score, uncertainty, { lowest, highest }) {
  if (uncertainty === null) return "";
  const [low, high] = [Math.max(lowest, score - uncertainty), Math.min(highest, score + uncertainty)];
  return `, likely between ${tenths(low)} and ${tenths(high)}`;
}

function movement(old, rank) {
  if (old === undefined) return "new";
  if (old === rank) return "";
  return old > rank ? `up ${old - rank}` : `down ${rank - old}`;
}

function glide(node, from) {
  const way = from === undefined ? null : from - node.getBoundingClientRect().top;
  if (way === 0) return;
  const start = way === null ? { opacity: 0 } : { transform: `translateY(${way}px)` };
  node.animate([start, {}], { duration: 350, easing: "cubic-bezier(.2, .7, .2, 1)" });
}

/** A button that opens a panel, which `fill` fills whenever it is opened, or refreshed while it is open. */
function disclosure(text, label, fill) {
  const panel = make("div", { className: "panel", id: `panel-${(panels += 1)}`, hidden: true });
  const button = make(
    "button",
    {
      type: "button",
      className: "quiet",
      ariaLabel: label,
      ariaExpanded: "false",
      attributes: { "aria-controls": panel.id },
    },
    text,
  );
  button.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    button.ariaExpanded = String(!panel.hidden);
    if (!panel.hidden) fill(panel);
  });
  return { button, panel, refresh: () => panel.hidden || fill(panel) };
}

async function fillReasons(panel, one, scale, actions) {
  const asked = (panel.asked = Symbol("asked"));
  if (!panel.hasChildNodes()) panel.append(make("p", { className: "note" }, "Asking the model …"));
  const reasons = await actions.explain(one.item);
  if (panel.asked !== asked) return; // a later answer is on its way
  if (reasons === null)
    panel.replaceChildren(
      make("p", { className: "note" }, "The reasons could not be had. Close this and open it again."),
    );
  else if (!reasons.length)
    panel.replaceChildren(
      make(
        "p",
        { className: "note" },
        "You have rated nothing yet: this is what the model expects of anybody. What you rate has its effect here.",
      ),
    );
  else
    panel.replaceChildren(
      make("p", { className: "note" }, "What your ratings did to this prediction:"),
      reasonList(reasons),
    );
}

function reasonList(reasons) {
  const most = Math.max(...reasons.map((reason) => Math.abs(reason.effect)), 1e-9);
  return make(
    "ul",
    { className: "reasons" },
    ...reasons.map((reason) => {
      const bar = make(
        "span",
        { className: `bar ${reason.effect < 0 ? "down" : "up"}`, ariaHidden: "true" },
        make("span"),
      );
      bar.style.setProperty("--share", `${((50 * Math.abs(reason.effect)) / most).toFixed(1)}%`);
      const given = make("span", { className: "given" }, `, you gave ${plain(reason.rating)}`);
      return make(
        "li",
        {},
        make("span", { className: "cause" }, titleNode(reason), given),
        bar,
        make("span", { className: "effect" }, effect(reason.effect)),
      );
    }),
  );
}
