import { type Draft, momentOf, stamps } from './data.js';
import { attachmentFolder, styleName } from './files.js';
import { localAuthor } from './people.js';
import type { Row } from './rows.js';

/** The site itself: settings, emoji, uploads, moderation, applications and sessions. */
export function addSite(draft: Draft): void {
  addBookkeeping(draft);
  addSettings(draft);
  addEmoji(draft);
  addSiteUploads(draft);
  addCards(draft);
  addModeration(draft);
  addRelations(draft);
  addSessions(draft);
}

function addBookkeeping({ rows }: Draft): void {
  const moment = momentOf(0, 100_000);
  for (const version of ['20160220174730', '20171119172437', '20251023210145', '20260611150940']) {
    rows.add('schema_migrations', { version });
  }
  rows.add('ar_internal_metadata', { key: 'environment', value: 'production', ...stamps(moment) });
  rows.add('ar_internal_metadata', { key: 'schema_sha1', value: '0'.repeat(40), ...stamps(moment) });
}

/** A row whose id is the table's next. */
function add(draft: Draft, table: string, row: Row): bigint {
  const id = draft.rows.nextId(table);
  draft.rows.add(table, { id, ...row });
  return id;
}

/** A picture in each of its styles: original as it is, the others with their own extension. */
function addPicture(
  draft: Draft,
  attachment: string,
  id: bigint,
  name: string,
  styles: readonly string[],
  cached = false,
): void {
  const folder = attachmentFolder(attachment, id, cached);
  for (const style of ['original', ...styles]) {
    const path = `${folder}/${style}/${style === 'original' ? name : styleName(name, 'png')}`;
    draft.files.push({ path, sizeBytes: 1000, mode: 0o644, modifiedAt: momentOf(0, 30_000) });
  }
}

function addSettings(draft: Draft): void {
  const settings = {
    site_title: 'Sample',
    site_contact_username: 'admin',
    registrations_mode: 'none',
    theme: 'default',
  };
  for (const [name, value] of Object.entries(settings)) {
    add(draft, 'settings', { var: name, value: `--- ${value}\n`, ...stamps(momentOf(0, 60_000)) });
  }
  add(draft, 'rules', { priority: 0, text: 'Be kind.', ...stamps(momentOf(0, 60_000)) });
}

function addEmoji(draft: Draft): void {
  const category = add(draft, 'custom_emoji_categories', { name: 'Ice', ...stamps(momentOf(0, 60_000)) });
  for (const [shortcode, domain] of [
    ['mammoth', null],
    ['glacier', null],
    ['tundra', null],
    ['blobcat', 'remote1.example'],
    ['verified', 'remote2.example'],
  ] as const) {
    const name = `${draft.random.hex(8)}.png`;
    const id = add(draft, 'custom_emojis', {
      shortcode,
      domain,
      image_file_name: name,
      image_content_type: 'image/png',
      image_file_size: 1000,
      image_updated_at: momentOf(0, 30_000),
      image_storage_schema_version: 1,
      image_remote_url: domain === null ? null : `https://${domain}/${name}`,
      category_id: domain === null ? category : null,
      ...stamps(momentOf(0, 30_000)),
    });
    addPicture(draft, 'custom_emojis/images', id, name, ['static'], domain !== null);
  }
}

function addSiteUploads(draft: Draft): void {
  const styles = { thumbnail: ['@1x', '@2x'], favicon: ['16', '32', '48'], mascot: [] };
  for (const [name, its] of Object.entries(styles)) {
    const file = `${draft.random.hex(8)}.png`;
    const id = add(draft, 'site_uploads', {
      var: name,
      file_file_name: file,
      file_content_type: 'image/png',
      file_file_size: 1000,
      file_updated_at: momentOf(0, 30_000),
      ...stamps(momentOf(0, 30_000)),
    });
    addPicture(draft, 'site_uploads/files', id, file, its);
  }
  const archive = `archive-20260601-${draft.random.hex(16)}.zip`;
  const backup = add(draft, 'backups', {
    user_id: 1n,
    dump_file_name: archive,
    dump_content_type: 'application/zip',
    dump_file_size: 1000,
    dump_updated_at: momentOf(0, 30_000),
    processed: true,
    ...stamps(momentOf(0, 30_000)),
  });
  addPicture(draft, 'backups/dumps', backup, archive, []);
  const orphan = 'imports/data/000/000/001/original/following_accounts.csv';
  draft.files.push({ path: orphan, sizeBytes: 300, mode: 0o644, modifiedAt: momentOf(0, 90_000) });
  draft.oddities.orphans.push(orphan);
}

function addCards(draft: Draft): void {
  for (let index = 0; index < 6; index++) {
    const name = index % 2 === 0 ? `${draft.random.hex(8)}.jpg` : null;
    const id = add(draft, 'preview_cards', {
      url: `https://news.example/${String(index)}?a="b"&c=d`,
      title: `News ${String(index)}`,
      image_file_name: name,
      image_content_type: name === null ? null : 'image/jpeg',
      image_file_size: name === null ? null : 1000,
      image_storage_schema_version: 1,
      ...stamps(momentOf(index, 20_000)),
    });
    if (name !== null) addPicture(draft, 'preview_cards/images', id, name, [], true);
  }
  const icon = `${draft.random.hex(8)}.png`;
  const provider = add(draft, 'preview_card_providers', {
    domain: 'news.example',
    icon_file_name: icon,
    icon_content_type: 'image/png',
    icon_file_size: 1000,
    ...stamps(momentOf(0, 20_000)),
  });
  addPicture(draft, 'preview_card_providers/icons', provider, icon, ['static']);
}

function addModeration(draft: Draft): void {
  const moment = momentOf(0, 40_000);
  add(draft, 'domain_blocks', {
    domain: 'spam.example',
    severity: 1,
    private_comment: 'spam',
    ...stamps(moment),
  });
  add(draft, 'ip_blocks', { ip: '198.51.100.0/24', severity: 9999, comment: 'flood', ...stamps(moment) });
  add(draft, 'invites', { user_id: 1n, code: draft.random.base32(8), uses: 2, ...stamps(moment) });
  add(draft, 'webhooks', {
    url: 'https://hooks.example/mastodon',
    events: ['account.created', 'report.created'],
    secret: draft.random.hex(20),
    ...stamps(moment),
  });
  add(draft, 'relays', { inbox_url: 'https://relay.example/inbox', state: 2, ...stamps(moment) });
  add(draft, 'tombstones', {
    account_id: localAuthor(draft, 0).id,
    uri: `https://${draft.domain}/users/admin/statuses/1`,
    ...stamps(moment),
  });
}

function addRelations(draft: Draft): void {
  draft.remoteAccountIds.forEach((remote, index) => {
    const moment = momentOf(index, 40_000);
    const local = localAuthor(draft, index).id;
    add(draft, 'follows', { account_id: remote, target_account_id: local, ...stamps(moment) });
    if (index % 3 === 0)
      add(draft, 'follows', { account_id: local, target_account_id: remote, ...stamps(moment) });
    if (index % 20 === 0) {
      add(draft, 'blocks', { account_id: local, target_account_id: remote, ...stamps(moment) });
      add(draft, 'mutes', { account_id: local, target_account_id: remote, ...stamps(moment) });
    }
  });
  for (const { id } of draft.accounts) {
    add(draft, 'account_stats', { account_id: id, statuses_count: 1, ...stamps(momentOf(0, 40_000)) });
  }
  add(draft, 'lists', {
    account_id: localAuthor(draft, 2).id,
    title: 'Friends',
    ...stamps(momentOf(0, 30_000)),
  });
}

function addSessions(draft: Draft): void {
  const { random } = draft;
  const application = add(draft, 'oauth_applications', {
    name: 'Web',
    uid: random.hex(32),
    secret: random.hex(32),
    redirect_uri: 'urn:ietf:wg:oauth:2.0:oob',
    scopes: 'read write follow push',
    superapp: true,
    ...stamps(momentOf(0, 60_000)),
  });
  draft.accounts.forEach(({ userId, token }, index) => {
    if (userId === undefined || token === undefined) return;
    const moment = momentOf(index, 5_000);
    const ip = `192.0.2.${String(index % 250)}`;
    const tokenId = add(draft, 'oauth_access_tokens', {
      token,
      scopes: 'read write follow push',
      application_id: application,
      resource_owner_id: userId,
      last_used_ip: ip,
      created_at: moment,
    });
    add(draft, 'session_activations', {
      session_id: random.hex(16),
      user_agent: 'Mozilla/5.0',
      ip,
      access_token_id: tokenId,
      user_id: userId,
      ...stamps(moment),
    });
    add(draft, 'login_activities', {
      user_id: userId,
      authentication_method: 'password',
      success: true,
      ip,
      created_at: moment,
    });
    add(draft, 'web_push_subscriptions', {
      endpoint: `https://push.example/${random.hex(16)}`,
      key_p256dh: random.bytes(65).toString('base64url'),
      key_auth: random.bytes(16).toString('base64url'),
      data: { policy: 'all', alerts: { mention: true } },
      access_token_id: tokenId,
      user_id: userId,
      standard: true,
      ...stamps(moment),
    });
  });
}
