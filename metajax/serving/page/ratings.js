// The ratings that the person has given: the latest first, each to be corrected or withdrawn.

import { arrange, byId, count, make, named, titleNode } from "/page/dom.js";
import { stars } from "/page/stars.js";

let rows = new Map();

/** Show ratings (item -> {item, title, rating}, in the order they were given). */
export function showRatings(ratings, { scale, rate, withdraw }) {
  const latest = [...ratings.values()].reverse();
  rows = new Map(latest.map((one) => [one.item, rows.get(one.item) ?? makeRow(one, scale, rate, withdraw)]));
  for (const one of latest) rows.get(one.item).control.set(one.rating);
  arrange(
    byId("ratings"),
    [...rows.values()].map((row) => row.node),
  );
  byId("ratings-heading").textContent = latest.length ? `Your ratings (${latest.length})` : "Your ratings";
  byId("ratings-note").textContent = latest.length
    ? ""
    : "None yet. Rate a title, and it is kept here: to correct, to withdraw, or to be forgotten.";
  byId("mine").hidden = latest.length === 0;
}

export function clearRatings() {
  rows.clear();
  byId("ratings").replaceChildren();
}

function makeRow(one, scale, rate, withdraw) {
  const { name } = named(one);
  const control = stars({
    scale,
    legend: `Your rating of ${name}`,
    value: one.rating,
    onRate: (rating) => rate(one, rating),
  });
  const button = make(
    "button",
    { type: "button", className: "quiet withdraw", ariaLabel: `Withdraw your rating of ${name}` },
    "Withdraw",
  );
  const node = make("li", { attributes: { "data-item": one.item } }, titleNode(one), control.node, button);
  button.addEventListener("click", () => {
    const near = node.nextElementSibling ?? node.previousElementSibling;
    (near?.querySelector(".withdraw") ?? byId("ratings-heading")).focus();
    withdraw(one);
  });
  return { control, node };
}

/** Ask whether all is to be forgotten, and have it done. */
export function startForgetting({ ratings, forget }) {
  const dialog = byId("forget-dialog");
  byId("forget").onclick = () => {
    const made = ratings.size === 1 ? "what the model made of it" : "what the model made of them";
    byId("forget-text").textContent =
      `Your ${count(ratings.size, "rating")} and ${made} are deleted from the service. This cannot be undone.`;
    dialog.showModal();
    byId("forget-cancel").focus();
  };
  byId("forget-cancel").onclick = () => dialog.close();
  byId("forget-confirm").onclick = () => {
    dialog.close();
    forget();
  };
}
