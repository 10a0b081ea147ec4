import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escapeHtml } from '../../../src/reports/html.js';
import { pageOf, type ReportGiven } from '../../../src/reports/page-of.js';
import { badDrill, doneRestore, doneUndo, failedRestore, passedDrill } from './examples.js';

const all: ReportGiven[] = [
  { kind: 'drill', report: passedDrill },
  { kind: 'drill', report: badDrill },
  { kind: 'drill', report: { ...passedDrill, status: 'failed', checks: [], from: '', backup: 'latest' } },
  { kind: 'restore', report: doneRestore },
  { kind: 'restore', report: failedRestore },
  { kind: 'restore', report: { ...doneRestore, status: 'planned', checks: [], phases: [] } },
  { kind: 'undo', report: doneUndo },
];

/** What a reader sees, in order. */
function seen(page: string): string {
  return page
    .slice(page.indexOf('<body>'))
    .replace(/<\/?(?:code|strong)>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#39;/g, "'")
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&amp;/g, '&')
    .replace(/\s+/g, ' ');
}

const inOrder = (...texts: string[]) => {
  const escaped = texts.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return expect.stringMatching(new RegExp(escaped.join('.*')));
};

test('the page of a drill that passed says what was proven, how long a recovery takes, and what was not', () => {
  const page = seen(pageOf({ kind: 'drill', report: passedDrill }));
  expect(page).toEqual(
    inOrder('This backup restores', '20261201T031700Z', 'vault', 'Recovery time 7 min 21 s'),
  );
  expect(page).toEqual(inOrder('≈ 1 h 43 min', 'Checks passed 25 of 25', 'media 1 h 36 min'));
  expect(page).toEqual(inOrder('What was not proven', 'Elasticsearch'));
  for (const { name, detail } of passedDrill.checks) {
    expect(page).toContain(name);
    expect(page).toContain(detail.replaceAll('`', ''));
  }
  expect(page).not.toContain('Not so');
});

test('what was found comes first, with what to do; what passed is told beside it', () => {
  const page = seen(pageOf({ kind: 'drill', report: badDrill }));
  expect(page).toEqual(
    inOrder(
      'would not restore as it is',
      'Checks passed 16 of 18',
      'Not so: Every table has the rows that were counted',
      'statuses has 1 204 331 rows',
      'Not so: The unique indexes',
      'What to do: vault has the same backup',
      'What was proven',
      'Every part came back with its hash',
    ),
  );
  expect(page.match(/Not so/g)).toHaveLength(2);
  expect(page).toEqual(inOrder('Warnings', 'pgroonga'));
});

test('the page of a restore says how long services were down, what to run now, and how to take it back', () => {
  const page = seen(pageOf({ kind: 'restore', report: doneRestore }));
  expect(page).toEqual(inOrder('The backup is in place', 'services: up, proven', 'Services were down 4.8 s'));
  expect(page).toEqual(inOrder('bin/tootctl feeds build', 'permafrost undo example.social 20261202T091500Z'));
  expect(page).toEqual(inOrder('31 files added', '128 380 files were there already', 'SMTP_PASSWORD'));
  const failed = seen(pageOf({ kind: 'restore', report: failedRestore }));
  expect(failed).toEqual(inOrder('The restore failed', 'not touched', 'Services were down not at all'));
  expect(failed).toEqual(inOrder('What to do: nothing was changed', 'the instance is as it was', 'Not so'));
  expect(failed).not.toContain('permafrost undo');
});

test.each(all)('a page is whole by itself, and runs nothing: $kind, $report.status', (given) => {
  const page = pageOf(given);
  expect(page).toMatch(/^<!doctype html>/);
  expect(page).not.toMatch(
    /<(?:script|link|img|iframe|object|base|form|a)\b|@import|url\(|\bon\w+=|\bsrc=|\bhref=/i,
  );
  expect(page).not.toMatch(/undefined|NaN|\[object/);
});

test.each(all)('no text can become a part of the page: $kind, $report.status', (given) => {
  const usual = tagsOf(pageOf(filled(given, 'word')));
  const hostile = fc.constantFrom(
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='x",
    '</style><b>',
    '<!--',
    '`<i>`',
    '**</p>**',
    '&lt;',
    '__proto__',
  );
  const texts = fc.oneof(hostile, fc.string({ minLength: 1, unit: 'binary' }), fc.string({ minLength: 1 }));
  fc.assert(
    fc.property(texts, (text) => {
      expect(tagsOf(pageOf(filled(given, text)))).toBe(usual);
    }),
    { numRuns: 200 },
  );
});

test('what is escaped reads as it was, but for what cannot be seen', () => {
  expect(escapeHtml(`<a href="x">&'`)).toBe('&lt;a href=&quot;x&quot;&gt;&amp;&#39;');
  expect(escapeHtml('grün\n\t👍')).toBe('grün\n\t👍');
  expect(escapeHtml('a\0b\u202ec\ud800d\x9fe')).toBe('a\ufffdb\ufffdc\ufffdd\ufffde');
});

/** All texts of a report are another one; what the page chooses its words by stays. */
function filled(given: ReportGiven, text: string): ReportGiven {
  const change = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string' && ['status', 'depth', 'services'].includes(key)) return value;
    if (typeof value === 'string')
      return /(?:At|Until)$/.test(key) && !Number.isNaN(Date.parse(text)) ? 'never' : text;
    if (Array.isArray(value)) return value.map((one) => change(one));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inside]) => [name, change(inside, name)]));
  };
  return { kind: given.kind, report: change(given.report) } as ReportGiven;
}

/** What stands between backticks or asterisks may become code or bold; that is all it may become. */
function tagsOf(page: string): string {
  return (page.match(/<[^>]*>/g) ?? []).filter((tag) => !/^<\/?(?:code|strong)>$/.test(tag)).join('');
}
