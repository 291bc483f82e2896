/** The look of the page: light and dark by the reader's setting, one column on phones, plain on paper. */

export const STYLE = `
:root { color-scheme: light dark; --ink: #1d2127; --soft: #596273; --paper: #fff; --line: #dfe3e8; --panel: #f5f7f9; --band: #e7ebf0; --focus: #1a5fb4;
  --s0: #2563b8; --s1: #c4622d; --s2: #3f8f5b; --s3: #8a5bb5; --s4: #a07a10; --s5: #5b7c8d; --bad: #b3261e; --warn: #8a5a00; --good: #2c7a4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a3adbb; --paper: #15181c; --line: #333a43; --panel: #1d2127; --band: #2a3038; --focus: #8ab8f5;
  --s0: #6ea3ec; --s1: #e59a6c; --s2: #7cc396; --s3: #bd97e0; --s4: #dcbb5c; --s5: #93b2c2; --bad: #f28b82; --warn: #e7b85c; --good: #7fcf9a; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1200px; margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; } h3 { font-size: .95rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; } .note, figcaption { color: var(--soft); font-size: .88rem; } figure { margin: 0 0 1rem; }
a { color: var(--focus); } nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; margin: .8rem 0 0; font-size: .9rem; }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 2px; }
.verdict { border: 1px solid var(--line); border-left: 6px solid var(--soft); background: var(--panel); border-radius: 4px; padding: .6rem .9rem; margin: .9rem 0; }
.verdict.bad { border-left-color: var(--bad); } .verdict.good { border-left-color: var(--good); } .verdict p:first-child { font-weight: 600; font-size: 1.05rem; margin: 0; }
.counts { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0; margin: .4rem 0 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; padding: .28rem .6rem .28rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top; }
th { color: var(--soft); font-weight: 600; } td.n, th.n { text-align: right; } td.wrap { white-space: normal; overflow-wrap: anywhere; min-width: 11rem; }
.facts th { width: 11rem; white-space: normal; } .facts td.wrap { min-width: 0; }
tr.bad td { color: var(--bad); } tr.warn td { color: var(--warn); } tr.changed { background: var(--band); }
th button { position: relative; font: inherit; color: inherit; background: none; border: 0; padding: 0; margin: 0; cursor: pointer; text-align: inherit; min-height: 24px; }
th button { text-decoration: underline dotted; text-underline-offset: 3px; } th button::after { position: absolute; left: 100%; } th[aria-sort=ascending] button::after { content: "\\2191"; } th[aria-sort=descending] button::after { content: "\\2193"; }
.tools { display: flex; flex-wrap: wrap; gap: .4rem .8rem; align-items: center; margin: .5rem 0; font-size: .9rem; } .tools label { display: flex; gap: .4rem; align-items: center; }
.tools input, .tools select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--soft); border-radius: 4px; padding: .25rem .5rem; max-width: 100%; min-height: 32px; }
[hidden] { display: none !important; }
svg { display: block; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); } svg .tick { fill: var(--soft); font-size: 11px; } svg .value { font-weight: 600; }
svg .grid, svg .one, svg .bar, svg .whisker { vector-effect: non-scaling-stroke; } svg .grid { stroke: var(--line); } svg .one { stroke: var(--ink); } svg .band { fill: var(--band); } svg .change { stroke: var(--bad); stroke-dasharray: 4 3; }
svg .ceiling { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 3; } svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
svg .dots { stroke: var(--s0); stroke-width: 4; stroke-linecap: round; stroke-opacity: .75; fill: none; vector-effect: non-scaling-stroke; }
svg .curve { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; } svg .again { stroke-width: 4; stroke-opacity: .6; } svg .faint { fill: none; stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
svg .level { fill: none; stroke: var(--ink); stroke-width: 2; vector-effect: non-scaling-stroke; } svg .hover { fill: transparent; }
.s0 { fill: var(--s0); } .s1 { fill: var(--s1); } .s2 { fill: var(--s2); } .s3 { fill: var(--s3); } .s4 { fill: var(--s4); } .s5 { fill: var(--s5); }
.l0 { stroke: var(--s0); } .l1 { stroke: var(--s1); stroke-dasharray: 7 4; } .l2 { stroke: var(--s2); stroke-dasharray: 2 3; } .l3 { stroke: var(--s3); stroke-dasharray: 10 3 2 3; } .l4 { stroke: var(--s4); stroke-dasharray: 14 4; } .l5 { stroke: var(--s5); stroke-dasharray: 4 2; }
.f0 { fill: var(--s0); } .f1 { fill: var(--s1); } .f2 { fill: var(--s2); } .f3 { fill: var(--s3); } .f4 { fill: var(--s4); } .f5 { fill: var(--s5); }
svg .tile { fill-opacity: .24; stroke: var(--paper); stroke-width: 2; } svg .mark { fill-opacity: .85; stroke: var(--paper); stroke-width: .8; }
.bad-bar { fill: var(--bad); stroke: var(--bad); } .warn-bar { fill: var(--warn); stroke: var(--warn); } .good-bar { fill: var(--good); stroke: var(--good); } .plain-bar { fill: var(--s5); stroke: var(--s5); }
.bar.s0 { stroke: var(--s0); } .bar.s1 { stroke: var(--s1); } .bar.s2 { stroke: var(--s2); } .bar.s3 { stroke: var(--s3); } .bar.s4 { stroke: var(--s4); } .bar.s5 { stroke: var(--s5); } svg .hollow { fill: none; stroke-dasharray: 3 2; }
.rows ol { list-style: none; margin: 0; padding: 0; } .row { display: grid; grid-template-columns: minmax(9rem, 19rem) 1fr 11.5rem; column-gap: .8rem; align-items: center; font-size: .86rem; line-height: 1.3; }
.row .name { text-align: right; } .row .val { font-variant-numeric: tabular-nums; } .rows li.row { padding: 1px 0; content-visibility: auto; contain-intrinsic-size: auto 34px; }
.plot { display: grid; grid-template-columns: 52px 1fr; } .plot .area { overflow: visible; }
main > section { content-visibility: auto; contain-intrinsic-size: auto 900px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); gap: .4rem 1.6rem; } .cards figure { margin: 0; min-width: 0; content-visibility: auto; contain-intrinsic-size: auto 200px; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; list-style: none; padding: 0; margin: .3rem 0; font-size: .88rem; color: var(--soft); } .legend li { display: flex; align-items: center; gap: .4rem; }
details { margin: .6rem 0; } summary { cursor: pointer; padding: .25rem 0; } pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap; margin: .4rem 0; font-size: .85rem; }
@media (max-width: 640px) { body { padding: 1rem .75rem 3rem; } h1 { font-size: 1.3rem; } .row { grid-template-columns: 1fr auto; row-gap: 1px; } .row .name { text-align: left; } .row svg { grid-row: 2; grid-column: 1 / -1; } .row.axis .name, .row.axis .val { display: none; }
  .rows li.row { padding: .25rem 0; } .facts th { width: 7rem; } .facts, .facts tbody { display: table; } }
@media print { main > section, .rows li.row, .cards figure { content-visibility: visible; } :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --line: #ccc; --panel: #fff; --band: #e7ebf0; --s0: #2563b8; --s1: #c4622d; --s2: #3f8f5b; --s3: #8a5bb5; --s4: #a07a10; --s5: #5b7c8d; --bad: #b3261e; --warn: #8a5a00; --good: #2c7a4b; }
  body { max-width: none; padding: 0; font-size: 12px; } nav, .tools { display: none; } .scroll { overflow: visible; } table { font-size: 9px; } td, th { white-space: normal; padding: .15rem .35rem .15rem 0; } td.n { white-space: nowrap; } td.wrap { min-width: 0; } th button { text-decoration: none; min-height: 0; }
  h1 { font-size: 1.4rem; } h2 { margin-top: 1.4rem; } .row { grid-template-columns: minmax(5rem, 12rem) 1fr 10.5rem; font-size: 10px; } .cards { grid-template-columns: repeat(3, 1fr); } figure details { display: none; } th button::after { content: none; }
  h2, h3, summary { break-after: avoid; } figure, tr, li { break-inside: avoid; } svg, .row, .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
`;
