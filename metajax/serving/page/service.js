// Calls of the service: JSON in and out, sent again while it is busy (429) or away (502, 503, 504, no answer).

const SENT_AGAIN = new Set([429, 502, 503, 504]);
const TRIES = 8;
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 4000;

export class ServiceError extends Error {
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const waiting = new Set();

/** Have a function called whenever a call begins to wait for a service that is busy or away. */
export const onWait = (listener) => waiting.add(listener);

async function call(method, path, { body, signal } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await ask(method, path, body, signal);
    if (response?.ok) return response.json();
    const isLast = attempt === TRIES || (response && !SENT_AGAIN.has(response.status));
    if (isLast) throw await problemOf(response);
    for (const listener of waiting) listener();
    await pause(attempt, response, signal);
  }
}

async function ask(method, path, body, signal) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  try {
    return await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    return null;
  }
}

async function pause(attempt, response, signal) {
  const asked = 1000 * Number(response?.headers.get("Retry-After") ?? 0) || 0;
  const grown = Math.min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * (0.5 + Math.random() / 2);
  await new Promise((resolve) => setTimeout(resolve, Math.max(asked, grown)));
  signal?.throwIfAborted();
}

async function problemOf(response) {
  if (!response)
    return new ServiceError("The service cannot be reached. See whether you are online.", null, "unreachable");
  const { error } = await response.json().catch(() => ({}));
  return new ServiceError(error?.message ?? `The service answered ${response.status}.`, response.status, error?.code);
}

/** Make an id that is the event's own however often it is sent. (randomUUID needs https.) */
export function eventId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const path = (user) => encodeURIComponent(user);

export const beginSession = () => call("GET", "/v1/session");
export const recommend = (body, signal) => call("POST", "/v1/recommend", { body, signal });
export const exportAddress = (user) => `/v1/users/${path(user)}`;
export const userOf = (user) => call("GET", exportAddress(user));
export const erase = (user) => call("DELETE", exportAddress(user));

/** Return the ratings that move the prediction of an item. */
export async function explain(user, item) {
  const { items } = await call("POST", "/v1/recommend", {
    body: { user, candidates: [item], n: 1, explain: true, min_ratings: 0 },
  });
  return items[0]?.why ?? [];
}

/** Store a rating, or withdraw it with null; sent again under one id, it is stored once. */
export async function feedback(user, item, rating) {
  const { results } = await call("POST", "/v1/feedback", { body: { events: [{ id: eventId(), user, item, rating }] } });
  const [{ error }] = results;
  if (error) throw new ServiceError(error.message, 400, error.code);
}

export async function search(query, n, signal) {
  return (await call("GET", `/v1/items?${new URLSearchParams({ query, n })}`, { signal })).items;
}

export async function question(user, skipped, signal) {
  const parameters = new URLSearchParams([["n", "1"], ...skipped.map((item) => ["exclude", item])]);
  return (await call("GET", `/v1/questions/${path(user)}?${parameters}`, { signal })).items[0] ?? null;
}
