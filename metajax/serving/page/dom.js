// Small things that every part of the page needs: elements, lists that keep their rows, titles and numbers.

/** Make an element; `attributes` are set as attributes, everything else as properties. */
export function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Bring the rows of a list into an order, and keep those that are there: what has the focus keeps it. */
export function arrange(parent, rows) {
  const focused = document.activeElement;
  for (const old of [...parent.children]) if (!rows.includes(old)) old.remove();
  rows.forEach((row, place) => {
    if (parent.children[place] !== row) parent.insertBefore(row, parent.children[place] ?? null);
  });
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

const DATED = /^(.+?)(?:, (The|An?|L[ae]s?|Los|Il|El|Das|Der|Die))?( \(.*\))? \((\d{4})\)$/;

/** Read a title as people say it: "Matrix, The (1999)" is The Matrix, of 1999. Without a title, the id is shown. */
export function named({ item, title }) {
  if (!title) return { name: item, year: "" };
  const [, rest, article, also = "", year] = DATED.exec(title) ?? [];
  return rest ? { name: `${article ? `${article} ` : ""}${rest}${also}`, year } : { name: title, year: "" };
}

export function titleNode(what, tag = "span") {
  const { name, year } = named(what);
  return make(tag, { className: "title" }, name, ...(year ? [" ", make("span", { className: "year" }, year)] : []));
}

const one = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const signed = new Intl.NumberFormat("en", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: "always",
});
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
export const tenths = (number) => one.format(number);
export const effect = (number) => signed.format(number).replace("-", "−");
export const plain = (number) => short.format(number).replace("-", "−");
export const count = (number, word) => `${short.format(number)} ${word}${number === 1 ? "" : "s"}`;
