"""The style sheet of the report: light and dark, from a phone to a wide screen, no font or file from elsewhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --muted: #5b6470; --line: #dfe3e8; --accent: #0b63a5;
  --series-1: #0072b2; --series-2: #c44e00; --series-3: #00835f; --series-4: #b3558f; --series-5: #9a6b00;
  --reference: #30363d; --baseline-1: #9aa3ad; --baseline-2: #8a939d;
  --better: #00694c; --worse: #a83200;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161b; --card: #1a2027; --ink: #e7ebf0; --muted: #9aa6b2; --line: #2d353f; --accent: #6cb8f0;
    --series-1: #56b4e9; --series-2: #ff9a5c; --series-3: #35d0a5; --series-4: #e8a3cd; --series-5: #f0c75e;
    --reference: #d5dbe2; --baseline-1: #6d7884; --baseline-2: #7f8a96;
    --better: #4ed3a8; --worse: #ff9a7a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 78rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.75rem 0 .25rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.75rem 0 .5rem; }
p { margin: .4rem 0; max-width: 48rem; }
.muted, caption, .interval { color: var(--muted); }
.muted { font-size: .92rem; }
code, pre { font: .86rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--card); padding: .75rem; border-radius: 8px; overflow: auto; max-height: 26rem; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1rem; margin: .75rem 0; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; }
tbody th, td { vertical-align: middle; }
th small { display: block; font-weight: 400; color: var(--muted); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
tbody th { white-space: normal; overflow-wrap: break-word; min-width: 10rem; max-width: 18rem; font-weight: 400; }
tbody tr.learner th { font-weight: 600; box-shadow: inset 3px 0 var(--accent); }
tr.learner td, tr.learner th:first-child { background: var(--card); }
td .interval { display: block; font-size: .76rem; line-height: 1.2; }
td.best .value { font-weight: 700; }
.tag {
  display: inline-block; font-size: .7rem; font-weight: 600; padding: 0 .4rem; margin-left: .4rem; border-radius: 99px;
  color: var(--accent); border: 1px solid currentColor;
}
ul { padding-left: 1.1rem; margin: .25rem 0; } li { margin: .15rem 0; overflow-wrap: anywhere; }
.better { color: var(--better); font-weight: 600; } .worse { color: var(--worse); font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
.grid > * { background: var(--card); border-radius: 10px; padding: .8rem 1rem; margin: 0; min-width: 0; }
.grid h4 { margin: 0 0 .3rem; font-size: .95rem; }
figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .3rem; }
svg.figure { display: block; width: 100%; max-width: 34rem; height: auto; }
svg.figure text { font-family: inherit !important; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; padding: 0; margin: .5rem 0; }
.legend li { display: flex; align-items: center; gap: .4rem; font-size: .9rem; }
svg.swatch { width: 24px; height: 12px; flex: none; }
details { margin: .75rem 0; } summary { cursor: pointer; color: var(--accent); }
@media (max-width: 40rem) {
  body { padding: .75rem .75rem 3rem; font-size: 15px; }
  dl { grid-template-columns: 1fr; gap: 0; } dt { font-size: .85rem; } dd { margin-bottom: .5rem; }
  tbody th { min-width: 6.5rem; max-width: 8.5rem; } th, td { padding: .35rem .55rem; }
}
@media print { .grid > *, tr.learner td { background: none; } }
"""
