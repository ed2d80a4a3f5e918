// The next best question: the title whose rating would tell the model most.

import { byId, make, named, titleNode } from "/page/dom.js";
import { stars } from "/page/stars.js";

let control = null;

/** Show a question, or none. Who was answering the last one goes on with the next. */
export function showQuestion(one, { scale, rate, skip }) {
  const section = byId("question");
  const body = byId("question-body");
  if (one !== null && body.dataset.item === one.item) {
    control.set(null);
    return;
  }
  const hadFocus = section.contains(document.activeElement);
  section.hidden = one === null;
  if (one === null) {
    delete body.dataset.item;
    if (hadFocus) byId("list-heading").focus({ preventScroll: true });
    return;
  }
  const answer = (rating) => rate(one, rating);
  control = stars({ scale, legend: `Rate ${named(one).name}`, onRate: answer });
  const button = make("button", { type: "button", className: "quiet", id: "skip" }, "I don’t know it");
  button.addEventListener("click", () => skip(one));
  const wasSkipping = document.activeElement?.id === "skip";
  body.dataset.item = one.item;
  body.replaceChildren(titleNode(one, "h3"), make("div", { className: "answer" }, control.node, button));
  if (hadFocus) (wasSkipping ? button : control).focus({ preventScroll: true });
}
