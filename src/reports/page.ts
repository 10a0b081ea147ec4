import type { Check } from '../backups/check.js';
import { formatDuration } from '../terminal/format.js';
import { checkTitle, stageOf, stageTitles } from './check-titles.js';
import { type Content, markup, type Html, marked } from './html.js';
import { style } from './style.js';

/** What our pages are put together from. */

/** How it stands, by colour: green, red, and the yellow of what needs a look. */
export type Mood = 'good' | 'bad' | 'mind';

export interface Page {
  /** Of the window, and of the file when it is saved. */
  readonly title: string;
  /** A line above the headline: `Drill · example.social`. */
  readonly over: string;
  readonly headline: string;
  readonly mood: Mood;
  /** Below the headline: what, from where, when. */
  readonly lead: Content;
  readonly figures: readonly Figure[];
  readonly sections: readonly (Html | null)[];
  readonly foot: Content;
}

export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly more?: string;
}

/** The whole document. It asks for nothing from anywhere, whatever opens it. */
export function pageText(page: Page): string {
  const { title, over, headline, mood, lead, figures, sections, foot } = page;
  return markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <meta name="referrer" content="no-referrer" />
        <meta name="robots" content="noindex" />
        <title>${title}</title>
        <style>
          ${style}
        </style>
      </head>
      <body>
        <main>
          <header class="${mood}">
            <p class="over">${over}</p>
            <h1>${headline}</h1>
            ${lead} ${figureList(figures)}
          </header>
          ${sections}
          <footer>${foot}</footer>
        </main>
      </body>
    </html> `.text;
}

function figureList(figures: readonly Figure[]): Html | null {
  if (figures.length === 0) return null;
  return markup`<dl class="figures">
    ${figures.map(
      ({ name, value, more }) =>
        markup`<div>
          <dt>${name}</dt>
          <dd>${value}${more === undefined ? null : markup` <small>${more}</small>`}</dd>
        </div>`,
    )}
  </dl>`;
}

/** Nothing, when there is nothing in it. */
export function section(heading: string, content: Html | null): Html | null {
  return content === null
    ? null
    : markup`<section>
        <h2>${heading}</h2>
        ${content}
      </section> `;
}

/** Null for an empty one. */
export function bullets(lines: readonly Content[]): Html | null {
  return lines.length === 0
    ? null
    : markup`<ul>
        ${lines.map((line) => markup`<li>${line}</li>`)}
      </ul>`;
}

export function note(mood: Mood, content: Content): Html {
  return markup`<div class="note ${mood}">${content}</div>`;
}

/** Commands, a line each, with the words before them. */
export function commands(lines: readonly string[]): Html | null {
  return lines.length === 0 ? null : markup`<pre><code>${lines.join('\n')}</code></pre>`;
}

/** Names and values, a row each; an empty value leaves its row out. */
export function fields(rows: readonly (readonly [string, Content])[]): Html {
  const there = rows.filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return markup`<table>
    <tbody>
      ${there.map(
        ([name, value]) =>
          markup`<tr>
            <th scope="row">${name}</th>
            <td>${value}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** Checks by what they look at, in the order in which they were made. */
export function checkList(checks: readonly Check[]): Html | null {
  if (checks.length === 0) return null;
  const stages = [...new Set(checks.map(stageOf))];
  return markup`${stages.map((stage) => {
    const of = checks.filter((check) => stageOf(check) === stage);
    const heading = stages.length === 1 ? null : markup`<h3>${stageTitles[stage]}</h3>`;
    return markup`${heading}
      <ul class="checks">
        ${of.map(checkItem)}
      </ul>`;
  })}`;
}

function checkItem(check: Check): Html {
  const { name, passed, detail, durationMs } = check;
  const title = checkTitle(name);
  return markup`<li${passed ? null : markup` class="not"`}><span class="mark">${passed ? '✓' : '✗'}</span>
<span class="name">${passed ? null : markup`<strong>Not so: </strong>`}${title}${title === name ? null : markup` <code>${name}</code>`}</span>
<span class="took">${tookText(durationMs)}</span>
<p>${marked(detail)}</p></li>`;
}

/** A check is often quicker than anything else that is told. */
function tookText(durationMs: number): string {
  return durationMs < 95 ? `${String(Math.round(durationMs))} ms` : formatDuration(durationMs);
}

export interface Stretch {
  readonly name: string;
  readonly durationMs: number;
  readonly more?: string;
}

/** A bar for each stretch of time, as long as its share of the longest. */
export function bars(stretches: readonly Stretch[]): Html | null {
  if (stretches.length === 0) return null;
  const longest = Math.max(1, ...stretches.map(({ durationMs }) => durationMs));
  return markup`<div class="bars">${stretches.map(({ name, durationMs, more }) => {
    const share = ((100 * Math.max(0, durationMs)) / longest).toFixed(1);
    const beside = more === undefined ? null : markup` <small>${more}</small>`;
    return markup`<div><span class="name">${name}${beside}</span>
<span class="track"><i style="width:${share}%"></i></span> <span class="took">${formatDuration(durationMs)}</span></div>`;
  })}</div>`;
}

/** What happened and what to do, of a failure. */
export function failureNote(error: { message: string; next: string } | undefined): Html | null {
  if (error === undefined) return null;
  const next = error.next === '' ? null : markup`<p><strong>What to do:</strong> ${marked(error.next)}</p>`;
  return note(
    'bad',
    markup`<p>${marked(error.message)}</p>
      ${next}`,
  );
}
