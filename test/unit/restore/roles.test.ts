import { expect, test } from 'vitest';
import { readRoles } from '../../../src/restore/roles.js';

const globals = `--
-- PostgreSQL database cluster dump
--

\\restrict x
SET default_transaction_read_only = off;

CREATE ROLE mastodon;
ALTER ROLE mastodon WITH NOSUPERUSER INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'SCRAM-SHA-256$4096:abc$def:ghi';
CREATE ROLE "Ann ""the"" admin";
ALTER ROLE "Ann ""the"" admin" WITH SUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;
ALTER ROLE "Ann ""the"" admin" SET statement_timeout TO '0';

GRANT pg_monitor TO "Ann ""the"" admin" WITH INHERIT TRUE GRANTED BY postgres;
`;

test('roles are read with their attributes, settings and memberships', () => {
  const [mastodon, ann, ...more] = readRoles(globals);
  expect(more).toEqual([]);
  expect(mastodon).toMatchObject({ name: 'mastodon', statements: [] });
  expect(mastodon?.attributes).toContain("PASSWORD 'SCRAM-SHA-256$4096:abc$def:ghi'");
  expect(ann?.name).toBe('Ann "the" admin');
  expect(ann?.statements).toEqual([
    `ALTER ROLE "Ann ""the"" admin" SET statement_timeout TO '0';`,
    'GRANT pg_monitor TO "Ann ""the"" admin";',
  ]);
});
