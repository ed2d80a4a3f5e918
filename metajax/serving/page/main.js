// The page: who the person is, what they have rated, and what follows from it.

import { byId, count, named, plain } from "/page/dom.js";
import { clearList, dropFromList, showList } from "/page/list.js";
import { showQuestion } from "/page/question.js";
import { clearRatings, showRatings, startForgetting } from "/page/ratings.js";
import { startSearch, syncSearch } from "/page/search.js";
import * as service from "/page/service.js";
import { announce, settle, tell } from "/page/telling.js";

const STEP = 10;
const LONGEST = 100;
const SKIPPED = "metajax.skipped";
const MOST_SKIPPED = 100;
const RARELY = "metajax.rarely"; // set if titles are listed that few know
const KNOWN_SHARE = 0.1; // of the ratings of the most rated title
const ratings = new Map(); // item -> {item, title, rating}, in the order they were given
let session = null;
let length = STEP;
let sending = Promise.resolve();
let asked = null;
let pending = 0; // ratings that the service has not answered
let begun = 0;
let wellKnown = 1; // ratings in training

/** Do something that asks the service; what goes wrong is told, with a way to try again, until the same goes well. */
async function guard(about, work, again) {
  try {
    const result = await work();
    settle(about);
    return result;
  } catch (error) {
    if (error.name === "AbortError") return null;
    if (!(error instanceof service.ServiceError)) throw error;
    if (error.status === 401 || error.status === 403) await beginAnew();
    else tell(about, error.message, again);
    return null;
  }
}

/** The cookie stands for nobody, or somebody else: another tab was forgotten, or the service's keys have changed. */
async function beginAnew() {
  if (Date.now() - begun < 5000)
    tell(
      "begin",
      "The service does not know this browser. Allow cookies for this page (and https, where the service asks for it).",
      begin,
    );
  else if ((await begin()) !== null) announce("Your session had ended. A new one has begun.");
}

/** Learn who the person is, and show all that is known of them. */
function begin() {
  begun = Date.now();
  return guard(
    "begin",
    async () => {
      session = await service.beginSession();
      byId("user").textContent = session.user.replace(/^(guest-.{6}).*/, "$1…");
      byId("model").textContent = session.model;
      byId("export").href = service.exportAddress(session.user);
      clearList();
      clearRatings();
      ratings.clear();
      const [user, popular] = await Promise.all([service.userOf(session.user), service.search("", 1)]);
      wellKnown = Math.max(1, Math.ceil(KNOWN_SHARE * (popular[0]?.num_ratings ?? 0)));
      byId("known").checked = localStorage.getItem(RARELY) === null;
      for (const { item, title } of user.events) {
        if (item in user.ratings) ratings.set(item, { item, title, rating: user.ratings[item] });
      }
      startForgetting({ ratings, forget });
      render();
      await Promise.all([refresh(), startSearch({ scale: session, ratings, rate, guard })]);
      return session;
    },
    begin,
  );
}

function render() {
  showRatings(ratings, { scale: session, rate, withdraw: (one) => rate(one, null) });
  syncSearch();
}

/** Rate a title, or withdraw its rating with null: shown at once, taken back if the service does not take it. */
function rate(one, rating) {
  const before = ratings.get(one.item);
  keep(one, rating === null ? undefined : { item: one.item, title: one.title, rating });
  if (rating !== null) dropFromList(one.item);
  render();
  const done = `${named(one).name}: ${rating === null ? "withdrawn" : plain(rating)}.`;
  announce(`${done} Asking for your list …`);
  byId("list").ariaBusy = "true";
  pending += 1;
  const meant = ratings.get(one.item);
  const user = session.user;
  sending = sending.then(() => {
    if (session.user !== user) return (pending -= 1); // forgotten since
    return guard(
      `rate ${one.item}`,
      async () => {
        try {
          await service.feedback(user, one.item, rating);
        } catch (error) {
          if (ratings.get(one.item) === meant && session.user === user) keep(one, before);
          render();
          throw error;
        } finally {
          pending -= 1;
          if (!pending && session.user === user) refresh(done);
        }
      },
      () => rate(one, rating),
    );
  });
  return sending;
}

function keep(one, rated) {
  if (rated === undefined) ratings.delete(one.item);
  else ratings.set(one.item, rated);
}

/** Ask for the list and the next question; of several calls the last counts. */
async function refresh(cause = "") {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  byId("list").ariaBusy = "true";
  const ask = async () => {
    const [found, question] = await Promise.all([
      service.recommend({ user: session.user, n: length, min_ratings: byId("known").checked ? wellKnown : 1 }, signal),
      service.question(session.user, skipped(), signal),
    ]);
    const items = found.items.filter((one) => !ratings.has(one.item)); // rated since
    const fresh = showList(items, { scale: session, actions: { explain, rate } });
    describe(found);
    showQuestion(question, { scale: session, rate, skip });
    byId("list").ariaBusy = "false";
    if (cause && byId("problem").hidden) announce(`${cause} ${changes(items, fresh)}`);
  };
  await guard("list", ask, () => refresh(cause));
}

function changes(items, fresh) {
  if (!items.length) return "Your list is empty.";
  const first = `First is ${named(items[0]).name}.`;
  return fresh ? `Your list has ${count(fresh, "new title")}. ${first}` : `Your list has the same titles. ${first}`;
}

function describe({ items, model }) {
  byId("model").textContent = model;
  const known = ratings.size
    ? `From ${count(ratings.size, "rating")} of yours.`
    : "You have rated nothing yet, so this is what suits most people.";
  byId("list-note").textContent = items.length
    ? known
    : `Nothing is left to recommend.${byId("known").checked ? " Have titles listed that few know." : ""}`;
  byId("more").hidden = items.length < length || length >= LONGEST;
  const isSure = items.some((one) => one.uncertainty !== null);
  const sure = isSure
    ? "The band is how far off it may well be: one standard deviation to both sides."
    : "This model does not say how sure it is.";
  byId("legend").hidden = !items.length;
  byId("legend").textContent = session.predicts_ratings
    ? `The dot is the rating that the model expects of you, on the whole scale. ${sure}`
    : "What you are most likely to take up next comes first. This model predicts no ratings.";
}

async function explain(item) {
  return guard("reasons", () => service.explain(session.user, item));
}

function skipped() {
  const kept = JSON.parse(localStorage.getItem(SKIPPED) ?? "{}");
  return kept.user === session.user ? kept.items : [];
}

function skip({ item, ...one }) {
  const items = [...skipped(), item].slice(-MOST_SKIPPED);
  localStorage.setItem(SKIPPED, JSON.stringify({ user: session.user, items }));
  return guard(
    "question",
    async () => {
      const next = await service.question(session.user, items);
      showQuestion(next, { scale: session, rate, skip });
      announce(next ? `Then perhaps: ${named(next).name}?` : "There is nothing left to ask.");
    },
    () => skip({ item, ...one }),
  );
}

/** Have the service delete all it keeps, and begin as somebody new: after what was rated before, and before all else. */
function forget() {
  const user = session.user;
  byId("main").inert = true;
  sending = sending.then(() => guard("forget", erase, forget)).finally(() => {
    byId("main").inert = false;
    byId(session.user === user ? "forget" : "list-heading").focus();
  });
  return sending;
}

async function erase() {
  asked?.abort();
  await service.erase(session.user);
  localStorage.removeItem(SKIPPED);
  length = STEP;
  if ((await begin()) !== null) announce("You are forgotten. This is a new beginning.");
}

byId("more").onclick = () => {
  length = Math.min(LONGEST, length + STEP);
  refresh("More of your list.");
};
byId("known").onchange = ({ target }) => {
  if (target.checked) localStorage.removeItem(RARELY);
  else localStorage.setItem(RARELY, "yes");
  refresh(target.checked ? "Well-known titles only." : "All titles.");
};
service.onWait(() => announce("The service is busy or starting. Trying again …"));
begin();
