// A rating by stars: radio buttons, so that keyboards and screen readers know what it is.

import { make, plain } from "/page/dom.js";

const SETTLES = 800; // milliseconds: arrow keys pass over ratings that are not meant
const MOST_STARS = 12;
let controls = 0;

/** Say how ratings of a scale are given: by stars, by words, by numbers, or along a line. */
export function kindOf({ lowest, highest, levels }) {
  const choices = [...levels];
  const step = choices.every(Number.isInteger) ? 1 : choices.every((level) => Number.isInteger(2 * level)) ? 0.5 : 0;
  const between = Math.round((highest - lowest) / step) + 1;
  if (choices.length < 2) return choices.length ? { kind: "words", choices } : { kind: "line", choices };
  if (choices.length === 2) return { kind: "words", choices };
  if (step && lowest >= 0 && between <= MOST_STARS)
    return { kind: "stars", choices: Array.from({ length: between }, (_, place) => lowest + place * step), step };
  return { kind: choices.length <= MOST_STARS ? "numbers" : "line", choices };
}

/**
 * Make a control for the rating of one title.
 *
 * `onRate` is called with a rating once it is meant: at once by pointer; by keyboard on Enter, on leaving, or when the
 * keys rest. Returns the element, and `set` to show another rating (or none, by null).
 */
export function stars({ scale, legend, value = null, onRate }) {
  const how = kindOf(scale);
  const shown = make("output", { className: "value" });
  const choices = how.kind === "line" ? line(scale, legend) : buttons(how, scale);
  const field = make(
    "fieldset",
    { className: `stars ${how.kind}` },
    make("legend", { className: "unseen" }, legend),
    choices.node,
    shown,
  );
  let meant = value;
  let timer = null;
  let isPointed = false;

  const show = (rating) => (shown.textContent = rating === null || how.kind === "words" ? "" : plain(rating));
  const settle = () => {
    clearTimeout(timer);
    timer = null;
    const rating = choices.get();
    if (rating === null || rating === meant) return;
    meant = rating;
    onRate(rating);
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(settle, SETTLES);
  };
  field.addEventListener("pointerdown", () => (isPointed = true));
  field.addEventListener("keydown", (event) => {
    isPointed = false;
    if (event.key === "Enter") settle();
  });
  field.addEventListener("input", () => show(choices.get()));
  field.addEventListener("change", () => (isPointed ? settle() : wait()));
  field.addEventListener("focusout", (event) => {
    if (timer !== null && !field.contains(event.relatedTarget)) settle();
  });
  field.addEventListener("pointerover", (event) => {
    const under = event.target.closest("label")?.control;
    if (under && event.pointerType === "mouse") show(Number(under.value));
  });
  field.addEventListener("pointerleave", () => show(choices.get()));

  const set = (rating) => {
    if (timer !== null) return; // the person is about to say another
    meant = rating;
    choices.set(rating);
    show(rating);
  };
  set(value);
  return { node: field, set, focus: (options) => choices.focus(options) };
}

function buttons({ kind, choices, step }, scale) {
  const name = `rating-${(controls += 1)}`;
  const inputs = choices.map((rating) =>
    make("input", { type: "radio", name, value: rating, ariaLabel: spoken(kind, rating, scale) }),
  );
  const labels = inputs.map((input, place) =>
    make("label", {}, input, face(kind, choices[place], step, place === 0, scale)),
  );
  return {
    node: make("div", { className: step === 0.5 ? "choices halves" : "choices" }, ...labels),
    get: () => (inputs.some((input) => input.checked) ? Number(inputs.find((input) => input.checked).value) : null),
    set: (rating) => {
      for (const input of inputs) input.checked = rating !== null && Number(input.value) === rating;
    },
    focus: (options) => (inputs.find((input) => input.checked) ?? inputs[0]).focus(options),
  };
}

function line({ lowest, highest }, legend) {
  const step = 10 ** Math.floor(Math.log10((highest - lowest) / 50)) || 1;
  const input = make("input", { type: "range", min: lowest, max: highest, step, ariaLabel: legend });
  let isGiven = false;
  input.addEventListener("input", () => (isGiven = true));
  return {
    node: make("div", { className: "choices" }, input),
    get: () => (isGiven ? Number(input.value) : null),
    set: (rating) => {
      isGiven = rating !== null;
      input.value = rating ?? (lowest + highest) / 2;
    },
    focus: (options) => input.focus(options),
  };
}

function spoken(kind, rating, { highest }) {
  if (kind === "words") return word(rating, highest);
  return kind === "stars" ? `${plain(rating)} of ${plain(highest)} stars` : plain(rating);
}

const word = (rating, highest) => (rating === highest ? "I like it" : "Not for me");

function face(kind, rating, step, isFirst, { highest }) {
  if (kind === "words") return make("span", {}, word(rating, highest));
  if (kind === "numbers" || rating === 0) return make("span", {}, plain(rating));
  const isWhole = step === 1 || (isFirst && Number.isInteger(rating));
  return starIcon(isWhole ? "star" : Number.isInteger(rating) ? "star-right" : "star-left");
}

function starIcon(name) {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  icon.setAttribute("aria-hidden", "true");
  icon.setAttribute("class", name);
  use.setAttribute("href", `#${name}`);
  icon.append(use);
  return icon;
}
