// What the person is told: problems, and changes.

import { byId, make } from "/page/dom.js";

let fading = null;

/** Show a problem, and how to mend it. */
export function tell(about, message, again) {
  const problem = byId("problem");
  const button = make("button", { type: "button" }, "Try again");
  button.onclick = () => {
    problem.hidden = true;
    again();
  };
  problem.dataset.about = about;
  problem.replaceChildren(message, " ", ...(again ? [button] : []));
  problem.hidden = false;
}

/** What the problem was about has gone well since. */
export function settle(about) {
  if (byId("problem").dataset.about === about) byId("problem").hidden = true;
}

/** Say what has changed: seen for a while, and read out. */
export function announce(message) {
  const status = byId("status");
  status.textContent = message;
  status.classList.add("seen");
  clearTimeout(fading);
  fading = setTimeout(() => status.classList.remove("seen"), 6000);
}
