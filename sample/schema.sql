-- A Mastodon-shaped schema: Mastodon's own names, types and constraints where a backup can notice them.
-- About Mastodon 4.6, with the tables that matter to people rather than all 113 (mastodon/mastodon db/schema.rb).

CREATE FUNCTION timestamp_id(table_name text) RETURNS bigint LANGUAGE plpgsql AS $$
  DECLARE
    time_part bigint;
    sequence_base bigint;
    tail bigint;
  BEGIN
    time_part := ((date_part('epoch', now()) * 1000))::bigint << 16;
    sequence_base := ('x' || substr(md5(table_name || '5fa0c2d6b6f9a3bb8f27cb3a41d0c7e9' || time_part::text), 1, 4))::bit(16)::bigint;
    tail := ((sequence_base + nextval(table_name || '_id_seq')) & 65535);
    RETURN time_part | tail;
  END
$$;

CREATE SEQUENCE accounts_id_seq;
CREATE SEQUENCE statuses_id_seq;
CREATE SEQUENCE media_attachments_id_seq;

CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
CREATE TABLE ar_internal_metadata (
  key varchar PRIMARY KEY, value varchar, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL
);

CREATE TABLE accounts (
  id bigint PRIMARY KEY DEFAULT timestamp_id('accounts'::text),
  username varchar NOT NULL DEFAULT '',
  domain varchar,
  private_key text,
  public_key text NOT NULL DEFAULT '',
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  note text NOT NULL DEFAULT '',
  display_name varchar NOT NULL DEFAULT '',
  uri varchar NOT NULL DEFAULT '',
  url varchar,
  avatar_file_name varchar,
  avatar_content_type varchar,
  avatar_file_size integer,
  avatar_updated_at timestamp,
  header_file_name varchar,
  header_content_type varchar,
  header_file_size integer,
  header_updated_at timestamp,
  avatar_remote_url varchar,
  locked boolean NOT NULL DEFAULT false,
  header_remote_url varchar NOT NULL DEFAULT '',
  last_webfingered_at timestamp,
  inbox_url varchar NOT NULL DEFAULT '',
  outbox_url varchar NOT NULL DEFAULT '',
  shared_inbox_url varchar NOT NULL DEFAULT '',
  followers_url varchar NOT NULL DEFAULT '',
  protocol integer NOT NULL DEFAULT 0,
  memorial boolean NOT NULL DEFAULT false,
  moved_to_account_id bigint,
  fields jsonb,
  actor_type varchar,
  discoverable boolean,
  also_known_as varchar[],
  silenced_at timestamp,
  suspended_at timestamp,
  avatar_storage_schema_version integer,
  header_storage_schema_version integer,
  suspension_origin integer,
  indexable boolean NOT NULL DEFAULT false,
  id_scheme integer DEFAULT 1
);
CREATE INDEX search_index ON accounts USING gin ((
  setweight(to_tsvector('simple'::regconfig, display_name::text), 'A'::"char")
  || setweight(to_tsvector('simple'::regconfig, username::text), 'B'::"char")
  || setweight(to_tsvector('simple'::regconfig, COALESCE(domain, ''::varchar)::text), 'C'::"char")
));
CREATE UNIQUE INDEX index_accounts_on_username_and_domain_lower ON accounts (lower(username::text), COALESCE(lower(domain::text), ''::text));
CREATE INDEX index_accounts_on_domain_and_id ON accounts (domain, id);
CREATE INDEX index_accounts_on_uri ON accounts (uri);
CREATE INDEX index_accounts_on_url ON accounts (url text_pattern_ops) WHERE url IS NOT NULL;

CREATE TABLE account_stats (
  id bigserial PRIMARY KEY,
  account_id bigint NOT NULL,
  statuses_count bigint NOT NULL DEFAULT 0,
  following_count bigint NOT NULL DEFAULT 0,
  followers_count bigint NOT NULL DEFAULT 0,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  last_status_at timestamp
);
CREATE UNIQUE INDEX index_account_stats_on_account_id ON account_stats (account_id);

CREATE TABLE user_roles (
  id bigserial PRIMARY KEY,
  name varchar NOT NULL DEFAULT '',
  color varchar NOT NULL DEFAULT '',
  position integer NOT NULL DEFAULT 0,
  permissions bigint NOT NULL DEFAULT 0,
  highlighted boolean NOT NULL DEFAULT false,
  created_at timestamp(6) NOT NULL,
  updated_at timestamp(6) NOT NULL
);

CREATE TABLE users (
  id bigserial PRIMARY KEY,
  email varchar NOT NULL DEFAULT '',
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  encrypted_password varchar NOT NULL DEFAULT '',
  reset_password_token varchar,
  sign_in_count integer NOT NULL DEFAULT 0,
  current_sign_in_at timestamp,
  last_sign_in_at timestamp,
  confirmation_token varchar,
  confirmed_at timestamp,
  locale varchar,
  consumed_timestep integer,
  otp_required_for_login boolean NOT NULL DEFAULT false,
  otp_backup_codes varchar[],
  account_id bigint NOT NULL,
  disabled boolean NOT NULL DEFAULT false,
  invite_id bigint,
  created_by_application_id bigint,
  approved boolean NOT NULL DEFAULT true,
  webauthn_id varchar,
  sign_up_ip inet,
  role_id bigint,
  settings text,
  time_zone varchar,
  otp_secret varchar
);
CREATE INDEX index_users_on_account_id ON users (account_id);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE UNIQUE INDEX index_users_on_confirmation_token ON users (confirmation_token);

CREATE TABLE keypairs (
  id bigserial PRIMARY KEY,
  account_id bigint NOT NULL,
  uri varchar,
  local_fragment varchar,
  type integer NOT NULL DEFAULT 0,
  public_key text NOT NULL,
  private_key text,
  expires_at timestamp(6),
  revoked boolean NOT NULL DEFAULT false,
  created_at timestamp(6) NOT NULL,
  updated_at timestamp(6) NOT NULL
);
CREATE INDEX index_keypairs_on_account_id ON keypairs (account_id);
CREATE UNIQUE INDEX index_keypairs_on_uri ON keypairs (uri);

CREATE TABLE conversations (
  id bigserial PRIMARY KEY,
  uri varchar,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  parent_status_id bigint,
  parent_account_id bigint
);
CREATE UNIQUE INDEX index_conversations_on_uri ON conversations (uri text_pattern_ops) WHERE uri IS NOT NULL;

CREATE TABLE statuses (
  id bigint PRIMARY KEY DEFAULT timestamp_id('statuses'::text),
  uri varchar,
  text text NOT NULL DEFAULT '',
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  in_reply_to_id bigint,
  reblog_of_id bigint,
  url varchar,
  sensitive boolean NOT NULL DEFAULT false,
  visibility integer NOT NULL DEFAULT 0,
  spoiler_text text NOT NULL DEFAULT '',
  reply boolean NOT NULL DEFAULT false,
  language varchar,
  conversation_id bigint,
  local boolean,
  account_id bigint NOT NULL,
  application_id bigint,
  in_reply_to_account_id bigint,
  poll_id bigint,
  deleted_at timestamp,
  edited_at timestamp,
  ordered_media_attachment_ids bigint[],
  quote_approval_policy integer NOT NULL DEFAULT 0
);
CREATE INDEX index_statuses_20190820 ON statuses (account_id, id DESC, visibility, updated_at) WHERE deleted_at IS NULL;
CREATE INDEX index_statuses_on_conversation_id ON statuses (conversation_id);
CREATE INDEX index_statuses_on_deleted_at ON statuses (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX index_statuses_local_20190824 ON statuses (id DESC, account_id)
  WHERE (local OR uri IS NULL) AND deleted_at IS NULL AND visibility = 0 AND reblog_of_id IS NULL
    AND (NOT reply OR in_reply_to_account_id = account_id);
CREATE INDEX index_statuses_on_in_reply_to_id ON statuses (in_reply_to_id) WHERE in_reply_to_id IS NOT NULL;
CREATE INDEX index_statuses_on_reblog_of_id_and_account_id ON statuses (reblog_of_id, account_id);
CREATE UNIQUE INDEX index_statuses_on_uri ON statuses (uri text_pattern_ops) WHERE uri IS NOT NULL;

CREATE TABLE status_stats (
  id bigserial PRIMARY KEY,
  status_id bigint NOT NULL,
  replies_count bigint NOT NULL DEFAULT 0,
  reblogs_count bigint NOT NULL DEFAULT 0,
  favourites_count bigint NOT NULL DEFAULT 0,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX index_status_stats_on_status_id ON status_stats (status_id);

CREATE TABLE scheduled_statuses (
  id bigserial PRIMARY KEY, account_id bigint NOT NULL, scheduled_at timestamp, params jsonb
);

CREATE TABLE media_attachments (
  id bigint PRIMARY KEY DEFAULT timestamp_id('media_attachments'::text),
  status_id bigint,
  file_file_name varchar,
  file_content_type varchar,
  file_file_size integer,
  file_updated_at timestamp,
  remote_url varchar NOT NULL DEFAULT '',
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  shortcode varchar,
  type integer NOT NULL DEFAULT 0,
  file_meta json,
  account_id bigint,
  description text,
  scheduled_status_id bigint,
  blurhash varchar,
  processing integer,
  file_storage_schema_version integer,
  thumbnail_file_name varchar,
  thumbnail_content_type varchar,
  thumbnail_file_size integer,
  thumbnail_updated_at timestamp,
  thumbnail_remote_url varchar,
  thumbnail_storage_schema_version integer
);
CREATE INDEX index_media_attachments_on_account_id_and_status_id ON media_attachments (account_id, status_id DESC);
CREATE UNIQUE INDEX index_media_attachments_on_shortcode ON media_attachments (shortcode text_pattern_ops) WHERE shortcode IS NOT NULL;
CREATE INDEX index_media_attachments_on_status_id ON media_attachments (status_id);

CREATE TABLE custom_emoji_categories (
  id bigserial PRIMARY KEY, name varchar, created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE TABLE custom_emojis (
  id bigserial PRIMARY KEY,
  shortcode varchar NOT NULL DEFAULT '',
  domain varchar,
  image_file_name varchar,
  image_content_type varchar,
  image_file_size integer,
  image_updated_at timestamp,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  disabled boolean NOT NULL DEFAULT false,
  uri varchar,
  image_remote_url varchar,
  visible_in_picker boolean NOT NULL DEFAULT true,
  category_id bigint,
  image_storage_schema_version integer
);
CREATE UNIQUE INDEX index_custom_emojis_on_shortcode_and_domain ON custom_emojis (shortcode, domain);

CREATE TABLE site_uploads (
  id bigserial PRIMARY KEY,
  var varchar NOT NULL DEFAULT '',
  file_file_name varchar,
  file_content_type varchar,
  file_file_size integer,
  file_updated_at timestamp,
  meta json,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  blurhash varchar
);
CREATE UNIQUE INDEX index_site_uploads_on_var ON site_uploads (var);

CREATE TABLE backups (
  id bigserial PRIMARY KEY,
  user_id bigint,
  dump_file_name varchar,
  dump_content_type varchar,
  dump_updated_at timestamp,
  processed boolean NOT NULL DEFAULT false,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  dump_file_size bigint
);

CREATE TABLE preview_cards (
  id bigserial PRIMARY KEY,
  url varchar NOT NULL DEFAULT '',
  title varchar NOT NULL DEFAULT '',
  description varchar NOT NULL DEFAULT '',
  image_file_name varchar,
  image_content_type varchar,
  image_file_size integer,
  image_updated_at timestamp,
  type integer NOT NULL DEFAULT 0,
  html text NOT NULL DEFAULT '',
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  image_storage_schema_version integer,
  language varchar
);
CREATE UNIQUE INDEX index_preview_cards_on_url ON preview_cards (url);
CREATE TABLE preview_cards_statuses (
  preview_card_id bigint NOT NULL, status_id bigint NOT NULL, url varchar, PRIMARY KEY (status_id, preview_card_id)
);
CREATE TABLE preview_card_providers (
  id bigserial PRIMARY KEY,
  domain varchar NOT NULL DEFAULT '',
  icon_file_name varchar,
  icon_content_type varchar,
  icon_file_size bigint,
  icon_updated_at timestamp,
  created_at timestamp(6) NOT NULL,
  updated_at timestamp(6) NOT NULL
);

CREATE TABLE tags (
  id bigserial PRIMARY KEY, name varchar NOT NULL DEFAULT '', created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX index_tags_on_name_lower_btree ON tags (lower(name::text) text_pattern_ops);
CREATE TABLE statuses_tags (status_id bigint NOT NULL, tag_id bigint NOT NULL, PRIMARY KEY (tag_id, status_id));

CREATE TABLE follows (
  id bigserial PRIMARY KEY,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  account_id bigint NOT NULL,
  target_account_id bigint NOT NULL,
  show_reblogs boolean NOT NULL DEFAULT true,
  uri varchar,
  notify boolean NOT NULL DEFAULT false,
  languages varchar[]
);
CREATE UNIQUE INDEX index_follows_on_account_id_and_target_account_id ON follows (account_id, target_account_id);
CREATE TABLE blocks (
  id bigserial PRIMARY KEY, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  account_id bigint NOT NULL, target_account_id bigint NOT NULL, uri varchar
);
CREATE UNIQUE INDEX index_blocks_on_account_id_and_target_account_id ON blocks (account_id, target_account_id);
CREATE TABLE mutes (
  id bigserial PRIMARY KEY, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  hide_notifications boolean NOT NULL DEFAULT true, account_id bigint NOT NULL, target_account_id bigint NOT NULL, expires_at timestamp
);
CREATE UNIQUE INDEX index_mutes_on_account_id_and_target_account_id ON mutes (account_id, target_account_id);
CREATE TABLE favourites (
  id bigserial PRIMARY KEY, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  account_id bigint NOT NULL, status_id bigint NOT NULL
);
CREATE UNIQUE INDEX index_favourites_on_account_id_and_status_id ON favourites (account_id, status_id);
CREATE TABLE bookmarks (
  id bigserial PRIMARY KEY, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  account_id bigint NOT NULL, status_id bigint NOT NULL
);
CREATE UNIQUE INDEX index_bookmarks_on_account_id_and_status_id ON bookmarks (account_id, status_id);
CREATE TABLE mentions (
  id bigserial PRIMARY KEY, status_id bigint NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  account_id bigint NOT NULL, silent boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX index_mentions_on_account_id_and_status_id ON mentions (account_id, status_id);
CREATE TABLE notifications (
  id bigserial PRIMARY KEY,
  activity_id bigint NOT NULL,
  activity_type varchar NOT NULL,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  account_id bigint NOT NULL,
  from_account_id bigint NOT NULL,
  type varchar,
  filtered boolean NOT NULL DEFAULT false,
  group_key varchar
);
CREATE INDEX index_notifications_on_account_id_and_id_and_type ON notifications (account_id, id DESC, type);
CREATE TABLE lists (
  id bigserial PRIMARY KEY, account_id bigint NOT NULL, title varchar NOT NULL DEFAULT '',
  created_at timestamp NOT NULL, updated_at timestamp NOT NULL, replies_policy integer NOT NULL DEFAULT 0
);
CREATE TABLE polls (
  id bigserial PRIMARY KEY, account_id bigint NOT NULL, status_id bigint NOT NULL, expires_at timestamp,
  options varchar[] NOT NULL DEFAULT '{}', cached_tallies bigint[] NOT NULL DEFAULT '{}', votes_count bigint NOT NULL DEFAULT 0,
  created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);

CREATE TABLE settings (id bigserial PRIMARY KEY, var varchar NOT NULL, value text, created_at timestamp, updated_at timestamp);
CREATE UNIQUE INDEX index_settings_on_var ON settings (var);
CREATE TABLE rules (
  id bigserial PRIMARY KEY, priority integer NOT NULL DEFAULT 0, deleted_at timestamp, text text NOT NULL DEFAULT '',
  created_at timestamp NOT NULL, updated_at timestamp NOT NULL, hint text NOT NULL DEFAULT ''
);
CREATE TABLE domain_blocks (
  id bigserial PRIMARY KEY, domain varchar NOT NULL DEFAULT '', created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  severity integer DEFAULT 0, reject_media boolean NOT NULL DEFAULT false, private_comment text, public_comment text
);
CREATE UNIQUE INDEX index_domain_blocks_on_domain ON domain_blocks (domain);
CREATE TABLE ip_blocks (
  id bigserial PRIMARY KEY, ip inet NOT NULL DEFAULT '0.0.0.0', severity integer NOT NULL DEFAULT 0, expires_at timestamp,
  comment text NOT NULL DEFAULT '', created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX index_ip_blocks_on_ip ON ip_blocks (ip);
CREATE TABLE invites (
  id bigserial PRIMARY KEY, user_id bigint NOT NULL, code varchar NOT NULL DEFAULT '', expires_at timestamp, max_uses integer,
  uses integer NOT NULL DEFAULT 0, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, comment text
);
CREATE UNIQUE INDEX index_invites_on_code ON invites (code);
CREATE TABLE webhooks (
  id bigserial PRIMARY KEY, url varchar NOT NULL, events varchar[] NOT NULL DEFAULT '{}', secret varchar NOT NULL DEFAULT '',
  enabled boolean NOT NULL DEFAULT true, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL
);
CREATE TABLE relays (
  id bigserial PRIMARY KEY, inbox_url varchar NOT NULL DEFAULT '', created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  state integer NOT NULL DEFAULT 0
);
CREATE TABLE tombstones (
  id bigserial PRIMARY KEY, account_id bigint NOT NULL, uri varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL
);

CREATE TABLE oauth_applications (
  id bigserial PRIMARY KEY, name varchar NOT NULL, uid varchar NOT NULL, secret varchar NOT NULL, redirect_uri text NOT NULL,
  scopes varchar NOT NULL DEFAULT '', created_at timestamp, updated_at timestamp, superapp boolean NOT NULL DEFAULT false,
  website varchar, owner_type varchar, owner_id bigint, confidential boolean NOT NULL DEFAULT true
);
CREATE UNIQUE INDEX index_oauth_applications_on_uid ON oauth_applications (uid);
CREATE TABLE oauth_access_tokens (
  id bigserial PRIMARY KEY, token varchar NOT NULL, refresh_token varchar, expires_in integer, revoked_at timestamp,
  created_at timestamp NOT NULL, scopes varchar, application_id bigint, resource_owner_id bigint, last_used_at timestamp, last_used_ip inet
);
CREATE UNIQUE INDEX index_oauth_access_tokens_on_token ON oauth_access_tokens (token);
CREATE TABLE session_activations (
  id bigserial PRIMARY KEY, session_id varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
  user_agent varchar NOT NULL DEFAULT '', ip inet, access_token_id bigint, user_id bigint NOT NULL, web_push_subscription_id bigint
);
CREATE UNIQUE INDEX index_session_activations_on_session_id ON session_activations (session_id);
CREATE TABLE login_activities (
  id bigserial PRIMARY KEY, user_id bigint NOT NULL, authentication_method varchar, provider varchar, success boolean,
  failure_reason varchar, ip inet, user_agent varchar, created_at timestamp
);
CREATE TABLE web_push_subscriptions (
  id bigserial PRIMARY KEY, endpoint varchar NOT NULL, key_p256dh varchar NOT NULL, key_auth varchar NOT NULL, data json,
  created_at timestamp NOT NULL, updated_at timestamp NOT NULL, access_token_id bigint NOT NULL, user_id bigint NOT NULL,
  standard boolean NOT NULL DEFAULT false
);

-- Foreign keys, after the tables because some point in a circle.
ALTER TABLE accounts ADD FOREIGN KEY (moved_to_account_id) REFERENCES accounts ON DELETE SET NULL;
ALTER TABLE account_stats ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE users ADD CONSTRAINT fk_50500f500d FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE users ADD FOREIGN KEY (role_id) REFERENCES user_roles ON DELETE SET NULL;
ALTER TABLE users ADD FOREIGN KEY (invite_id) REFERENCES invites ON DELETE SET NULL;
ALTER TABLE users ADD FOREIGN KEY (created_by_application_id) REFERENCES oauth_applications ON DELETE SET NULL;
ALTER TABLE keypairs ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE statuses ADD CONSTRAINT fk_9bda1543f7 FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE statuses ADD FOREIGN KEY (in_reply_to_id) REFERENCES statuses ON DELETE SET NULL;
ALTER TABLE statuses ADD FOREIGN KEY (reblog_of_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE status_stats ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE scheduled_statuses ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE media_attachments ADD CONSTRAINT fk_96dd81e81b FOREIGN KEY (account_id) REFERENCES accounts ON DELETE SET NULL;
ALTER TABLE media_attachments ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE SET NULL;
ALTER TABLE media_attachments ADD FOREIGN KEY (scheduled_status_id) REFERENCES scheduled_statuses ON DELETE SET NULL;
ALTER TABLE backups ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE SET NULL;
ALTER TABLE statuses_tags ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE statuses_tags ADD FOREIGN KEY (tag_id) REFERENCES tags ON DELETE CASCADE;
ALTER TABLE follows ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE follows ADD FOREIGN KEY (target_account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE blocks ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE mutes ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE favourites ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE favourites ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE bookmarks ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE mentions ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE mentions ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE notifications ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE notifications ADD FOREIGN KEY (from_account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE lists ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE polls ADD FOREIGN KEY (status_id) REFERENCES statuses ON DELETE CASCADE;
ALTER TABLE invites ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
ALTER TABLE tombstones ADD FOREIGN KEY (account_id) REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE oauth_access_tokens ADD FOREIGN KEY (resource_owner_id) REFERENCES users ON DELETE CASCADE;
ALTER TABLE oauth_access_tokens ADD FOREIGN KEY (application_id) REFERENCES oauth_applications ON DELETE CASCADE;
ALTER TABLE session_activations ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
ALTER TABLE login_activities ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;
ALTER TABLE web_push_subscriptions ADD FOREIGN KEY (access_token_id) REFERENCES oauth_access_tokens ON DELETE CASCADE;
ALTER TABLE web_push_subscriptions ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;

-- Two materialized views that depend on each other: a restore has to refresh them in the right order.
CREATE MATERIALIZED VIEW account_summaries AS
  SELECT accounts.id AS account_id, mode() WITHIN GROUP (ORDER BY recent.language) AS language,
    mode() WITHIN GROUP (ORDER BY recent.sensitive) AS sensitive
  FROM accounts CROSS JOIN LATERAL (
    SELECT language, sensitive FROM statuses WHERE account_id = accounts.id AND deleted_at IS NULL ORDER BY id DESC LIMIT 20
  ) recent
  WHERE accounts.suspended_at IS NULL AND accounts.discoverable GROUP BY accounts.id;
CREATE UNIQUE INDEX index_account_summaries_on_account_id ON account_summaries (account_id);
CREATE MATERIALIZED VIEW global_follow_recommendations AS
  SELECT account_summaries.account_id, count(follows.id)::numeric / (1.0 + count(follows.id)::numeric) AS rank
  FROM account_summaries JOIN follows ON follows.target_account_id = account_summaries.account_id
  GROUP BY account_summaries.account_id;
CREATE UNIQUE INDEX index_global_follow_recommendations_on_account_id ON global_follow_recommendations (account_id);

CREATE MATERIALIZED VIEW instances AS
  WITH domain_counts(domain, accounts_count) AS (
    SELECT domain, count(*) FROM accounts WHERE domain IS NOT NULL GROUP BY domain
  )
  SELECT domain, accounts_count FROM domain_counts
  UNION
  SELECT domain_blocks.domain, COALESCE(domain_counts.accounts_count, 0::bigint)
  FROM domain_blocks LEFT JOIN domain_counts ON domain_counts.domain = domain_blocks.domain;
CREATE UNIQUE INDEX index_instances_on_domain ON instances (domain);

CREATE VIEW user_ips AS
  SELECT user_id, ip, max(used_at) AS used_at FROM (
    SELECT id AS user_id, sign_up_ip AS ip, created_at AS used_at FROM users WHERE sign_up_ip IS NOT NULL
    UNION ALL
    SELECT user_id, ip, updated_at FROM session_activations
    UNION ALL
    SELECT user_id, ip, created_at FROM login_activities WHERE success
  ) seen GROUP BY user_id, ip;
