import { Html } from './html.js';

/** How our pages look: on a screen in light and dark, on a phone, on paper. No font, picture or script from anywhere. */
export const style = new Html(`
:root {
  color-scheme: light dark;
  --paper: #fff; --ground: #f4f5f7; --ink: #1c2430; --faint: #5d6979; --line: #dfe3e9;
  --good: #17764a; --good-ground: #e6f4ec; --bad: #b3261e; --bad-ground: #fdecea;
  --mind: #8a5a00; --mind-ground: #fdf3dc; --bar: #4b73c9;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #1b212b; --ground: #12161d; --ink: #e6eaf0; --faint: #9ca8b8; --line: #323b48;
    --good: #6fd3a0; --good-ground: #173325; --bad: #ff9d94; --bad-ground: #42201d;
    --mind: #f0c46a; --mind-ground: #3a2e14; --bar: #7ea2f0;
  }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); overflow-wrap: anywhere }
main { max-width: 50rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
section, header { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.3rem; margin: 0 0 1rem }
h1 { font-size: 1.55rem; line-height: 1.25; margin: .1rem 0 .4rem; text-wrap: balance }
h2 { font-size: 1.08rem; margin: 0 0 .7rem }
h3 { font-size: .78rem; margin: 1.1rem 0 .2rem; color: var(--faint); font-weight: 600; text-transform: uppercase; letter-spacing: .05em }
h2 + h3 { margin-top: 0 }
p { margin: .4rem 0 }
ul { margin: .3rem 0; padding-left: 1.2rem }
li { margin: .25rem 0 }
code { font: .88em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }
pre { margin: .5rem 0; padding: .6rem .8rem; background: var(--ground); border: 1px solid var(--line); border-radius: .4rem; white-space: pre-wrap }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-top: 1px solid var(--line) }
tr:first-child > th, tr:first-child > td { border-top: 0 }
th { overflow-wrap: normal; width: 1%; white-space: nowrap }
thead th { color: var(--faint); font-size: .85rem; font-weight: 600 }
.over { color: var(--faint); font-size: .85rem; margin: 0; letter-spacing: .02em }
.faint { color: var(--faint) }
header.good { border-left: .45rem solid var(--good) } header.good h1 { color: var(--good) }
header.bad { border-left: .45rem solid var(--bad) } header.bad h1 { color: var(--bad) }
header.mind { border-left: .45rem solid var(--mind) } header.mind h1 { color: var(--mind) }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .9rem 1.4rem; margin: 1rem 0 .2rem }
.figures div { border-top: 2px solid var(--line); padding-top: .4rem }
.figures dt { color: var(--faint); font-size: .82rem }
.figures dd { margin: 0; font-size: 1.22rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums }
.figures small { display: block; font-size: .8rem; font-weight: 400; color: var(--faint) }
.checks { list-style: none; padding: 0; margin: 0 }
.checks li { display: grid; grid-template-columns: 1.5rem 1fr auto; gap: 0 .4rem; padding: .45rem 0; margin: 0; border-top: 1px solid var(--line); break-inside: avoid }
.checks li:first-child { border-top: 0 }
.checks .mark { color: var(--good); font-weight: 700 } .checks .not .mark { color: var(--bad) }
.checks .not { background: var(--bad-ground); margin: 0 -.6rem; padding-left: .6rem; padding-right: .6rem; border-radius: .3rem }
.checks .took { color: var(--faint); font-size: .85rem; font-variant-numeric: tabular-nums; white-space: nowrap }
.checks p { grid-column: 2 / -1; margin: 0; font-size: .92rem; color: var(--faint) } .checks .not p { color: var(--ink) }
.checks .name code { color: var(--faint); font-size: .78rem; margin-left: .35rem; white-space: nowrap }
.note { border-left: .3rem solid var(--mind); background: var(--mind-ground); padding: .5rem .8rem; border-radius: .3rem; margin: .6rem 0 }
.note.bad { border-color: var(--bad); background: var(--bad-ground) } .note.good { border-color: var(--good); background: var(--good-ground) }
.bars > div { display: grid; grid-template-columns: 13rem 1fr 6.2rem; gap: 0 .9rem; align-items: center; margin: .5rem 0 }
.bars .track { background: var(--ground); border-radius: .3rem; height: .75rem } .bars .track i { display: block; height: 100%; min-width: 2px; border-radius: .3rem; background: var(--bar) }
.bars .took { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } .bars small { color: var(--faint); display: block; line-height: 1.3 }
footer { color: var(--faint); font-size: .8rem; padding: 0 1.3rem }
@media (max-width: 30rem) {
  main { padding: .6rem .5rem 2rem } section, header { padding: .9rem } h1 { font-size: 1.3rem }
  .figures { grid-template-columns: 1fr 1fr } .figures dd { font-size: 1.08rem }
  .bars > div { grid-template-columns: 1fr max-content } .bars .track { grid-column: 1 / -1; grid-row: 2 }
}
@page { size: A4; margin: 14mm 15mm }
@media print {
  :root { font-size: 10pt; color-scheme: light }
  body { background: none } main { max-width: none; padding: 0 }
  section, header { border-width: 1px 0 0; border-radius: 0; padding: .7rem 0 .5rem; margin: 0 }
  header { border-top: 0 } header.good, header.bad, header.mind { padding-left: .8rem }
  pre { font-size: .86em; line-height: 1.35; padding: .35rem .5rem; box-decoration-break: clone }
  h2, h3 { break-after: avoid } tr, li, .bars > div, .figures div { break-inside: avoid }
  .track, .track i, .note, .checks .not { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  footer { padding: .6rem 0 0 }
}
`);
