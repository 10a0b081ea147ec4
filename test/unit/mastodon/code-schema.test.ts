import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sampleFolder } from '../../../sample/paths.js';
import { lastingIndexes, parseSchemaRb } from '../../../src/mastodon/code-schema.js';

/** Lines as mastodon/mastodon db/schema.rb has them. */
const text = `ActiveRecord::Schema[8.0].define(version: 2025_12_17_091936) do
  enable_extension "pg_catalog.plpgsql"

  create_table "accounts", id: :bigint, default: -> { "timestamp_id('accounts'::text)" }, force: :cascade do |t|
    t.string "username", default: "", null: false
    t.index "(((setweight(to_tsvector('simple'::regconfig, (display_name)::text), 'A'::\\"char\\"))))", name: "search_index", using: :gin
    t.index "lower((username)::text), COALESCE(lower((domain)::text), ''::text)", name: "index_accounts_on_username_and_domain_lower", unique: true
    t.index ["uri"], name: "index_accounts_on_uri"
  end

  create_table "accounts_tags", primary_key: ["tag_id", "account_id"], force: :cascade do |t|
    t.bigint "account_id", null: false
  end

  create_table "follows_legacy", id: false, force: :cascade do |t|
    t.unique_constraint ["a", "b"], name: "both"
  end

  create_table "conversations", force: :cascade do |t|
    t.index ["uri"], name: "index_conversations_on_uri", unique: true, opclass: :text_pattern_ops, where: "(uri IS NOT NULL)"
  end

  add_foreign_key "account_aliases", "accounts", on_delete: :cascade

  create_view "instances", materialized: true, sql_definition: <<-SQL
      SELECT accounts.domain
  SQL
  add_index "instances", ["domain"], name: "index_instances_on_domain", unique: true
  add_index "instances", ["other"], name: "index_instances_on_other"
end
`;

test('the unique indexes and primary keys of a schema.rb', () => {
  expect(parseSchemaRb(text)).toEqual({
    version: '20251217091936',
    indexes: [
      { table: 'accounts', name: null, columns: ['id'] },
      {
        table: 'accounts',
        name: 'index_accounts_on_username_and_domain_lower',
        columns: ["lower((username)::text), COALESCE(lower((domain)::text), ''::text)"],
      },
      { table: 'accounts_tags', name: null, columns: ['tag_id', 'account_id'] },
      { table: 'follows_legacy', name: 'both', columns: ['a', 'b'] },
      { table: 'conversations', name: null, columns: ['id'] },
      { table: 'conversations', name: 'index_conversations_on_uri', columns: ['uri'] },
      { table: 'instances', name: 'index_instances_on_domain', columns: ['domain'] },
    ],
  });
  expect(parseSchemaRb('puts "hello"')).toBeUndefined();
});

test("the sample's schema.rb has those that every version has, of the tables that it has", () => {
  const schema = parseSchemaRb(readFileSync(join(sampleFolder, 'schema.rb'), 'utf8'));
  const tables = new Set(schema?.indexes.map(({ table }) => table));
  const lasting = lastingIndexes.filter(({ table }) => tables.has(table));
  expect(lasting.length).toBeGreaterThan(25);
  expect(schema?.indexes).toEqual(expect.arrayContaining(lasting));
});
