import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LoadTarget } from '../../../src/proofs/load.js';
import { aManifest } from '../backups/a-manifest.js';
import { copyFields } from '../../../src/proofs/copy-text.js';
import { earlyStatements, readEntry } from '../../../src/proofs/dump-contents.js';
import { afterGrants, loadFailure, wordsOf } from '../../../src/proofs/load-failures.js';

test.each([
  ['3512; 1259 16407 TABLE public accounts mastodon', 'TABLE', 'public accounts mastodon'],
  ['3512; 0 16407 TABLE DATA public accounts mastodon', 'TABLE DATA', 'public accounts mastodon'],
  ['2; 3079 16384 EXTENSION - pg_trgm ', 'EXTENSION', '- pg_trgm'],
  ['3997; 0 0 COMMENT - EXTENSION pg_trgm ', 'COMMENT', '- EXTENSION pg_trgm'],
  ['6; 2615 2200 SCHEMA - public mastodon', 'SCHEMA', '- public mastodon'],
  [
    '9; 0 0 MATERIALIZED VIEW DATA public instances mastodon',
    'MATERIALIZED VIEW DATA',
    'public instances mastodon',
  ],
  ['9; 0 0 NEW KIND public x y', 'NEW', 'KIND public x y'],
])("an entry of pg_restore's list: %s", (line, kind, rest) => {
  expect(readEntry(line)).toEqual({ line, kind, rest });
});

test('a schema or an extension is made beforehand only when its statement holds nothing else', () => {
  const script = `CREATE SCHEMA plain;
CREATE SCHEMA "odd ""one";
CREATE SCHEMA "x
CREATE SCHEMA y; RESET ROLE; CREATE ROLE evil SUPERUSER;
";
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS z; CREATE ROLE evil; --;
`;
  expect(earlyStatements(script)).toEqual({
    schemas: [
      { name: 'plain', sql: 'CREATE SCHEMA plain;' },
      { name: 'odd "one', sql: 'CREATE SCHEMA "odd ""one";' },
    ],
    extensions: [{ name: 'citext', sql: 'CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;' }],
  });
});

test('comments of the list are no entries', () => {
  expect(readEntry(';     Archive created at 2026-11-22 03:17:00 UTC')).toBeUndefined();
  expect(readEntry('')).toBeUndefined();
});

describe('what pg_restore says', () => {
  const said = `pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3300; 1259 16500 INDEX index_users_on_email mastodon
pg_restore: error: could not execute query: ERROR:  could not create unique index "index_users_on_email"
DETAIL:  Key (email)=(alice@mail.example) is duplicated.
Command was: CREATE UNIQUE INDEX index_users_on_email ON public.users USING btree (email);
`;

  test('is told in a line, without what the rows hold', () => {
    expect(wordsOf(said)).toBe(
      'could not execute query: ERROR:  could not create unique index "index_users_on_email" DETAIL:  Key (email)=(…) is duplicated.',
    );
    const copy = `pg_restore: error: COPY failed for table "users": ERROR:  invalid input syntax for type bigint: "x"
CONTEXT:  COPY users, line 3, column id: "secret token"`;
    expect(wordsOf(copy)).not.toContain('secret');
    expect(wordsOf(copy)).toContain('for type bigint: "…"');
    expect(wordsOf('')).toBe('it said nothing');
  });

  test.each([
    'invalid input syntax for type bigint: "alice@mail.example"',
    'invalid input value for enum mood: "alice@mail.example"',
    'value "alice@mail.example" is out of range for type integer',
    'date/time field value out of range: "alice@mail.example"',
    'malformed array literal: "alice@mail.example"',
    'x\nDETAIL:  Failing row contains (1, alice@mail.example, "b").',
    'x\nDETAIL:  Token "alice@mail.example" is invalid.',
    'x\nCONTEXT:  JSON data, line 1: alice@mail.example',
  ])('without what a row holds: %s', (words) => {
    expect(wordsOf(`pg_restore: error: ERROR:  ${words}`)).not.toContain('alice');
  });

  test('of an extension that the server lacks: what to install, and nothing of the backup', () => {
    const stderrTail =
      'pg_restore: error: could not execute query: ERROR:  access method "pgroonga" does not exist';
    const database = {
      ...{ name: 'm', format: 'custom' as const, sizeBytes: 1, encoding: 'UTF8', collate: 'C', ctype: 'C' },
      ...{ extensions: [{ name: 'pgroonga', version: '4.0' }], roles: 'not captured' as const },
      ...{ rowCounts: {}, newestStatusAt: null },
    };
    const manifest = { ...aManifest, database };
    const target = { host: { name: 'drill' } } as LoadTarget;
    const ended = { exitCode: 1, stderrTail };
    expect(loadFailure({ target, manifest, ended })).toMatchObject({
      ...{ type: 'ToolMissing', next: expect.stringMatching(/pgroonga/) as string },
    });
    const none = { ...manifest, database: { ...database, extensions: [] } };
    expect(loadFailure({ target, manifest: none, ended })).toMatchObject({ type: 'PartInvalid' });
  });

  test('of rights: which roles are not there', () => {
    const grants = `psql:<stdin>:20: ERROR:  role "metrics" does not exist\npsql:<stdin>:21: ERROR:  role "metrics" does not exist`;
    expect(afterGrants(grants, 'local')).toEqual([expect.stringMatching(/of the roles metrics, which/)]);
    expect(afterGrants('', 'local')).toEqual([]);
  });
});

test('fields of COPY come back as they were', () => {
  expect(copyFields('a\\tb\t\\N\t\\\\N\tc\\nd\\\\')).toEqual(['a\tb', null, '\\N', 'c\nd\\']);
  const escape = (text: string) =>
    text.replace(/[\\\t\n\r\b\f\v]/g, (one) => `\\${{ '\t': 't', '\n': 'n', '\r': 'r', '\b': 'b', '\f': 'f', '\v': 'v' }[one] ?? one}`); // prettier-ignore
  fc.assert(
    fc.property(fc.array(fc.option(fc.string()), { minLength: 1 }), (fields) => {
      const line = fields.map((field) => (field === null ? '\\N' : escape(field))).join('\t');
      expect(copyFields(line)).toEqual(fields);
    }),
  );
});
