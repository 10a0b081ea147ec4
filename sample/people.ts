import { type Draft, type LocalAccount, momentOf, snowflake, stamps } from './data.js';
import { attachmentFolder, styleName } from './files.js';
import { type KeyPair, makeRsaPair } from './keys.js';
import type { Row } from './rows.js';

const names = ['admin', 'writer', 'alice', 'bob', 'carol', 'dave', 'erin', 'mallory', 'gone', 'zoe'];
const oddName = `Bob's "best" photo – déjà vu.png`;

/** Local and remote accounts, users, keys, avatars and headers. */
export function addPeople(draft: Draft): void {
  addRoles(draft);
  const pairs = Array.from({ length: 3 }, () => makeRsaPair(draft.random));
  const pair = (index: number): KeyPair => {
    const chosen = pairs[index % pairs.length];
    if (chosen === undefined) throw new RangeError('no key pair was made');
    return chosen;
  };
  addInstanceActor(draft, pair(0));
  const local = Math.max(names.length, Math.ceil(draft.size.accounts / 20));
  for (let index = 0; index < local; index++) addLocal(draft, index, pair(index));
  const remote = Math.max(5, draft.size.accounts - local);
  for (let index = 0; index < remote; index++) addRemote(draft, index, remote, pair(index));
}

function addRoles({ rows }: Draft): void {
  const moment = momentOf(0, 100_000);
  rows.add('user_roles', { id: -99n, name: '', position: -1, permissions: 65_536, ...stamps(moment) });
  rows.add('user_roles', { id: 3n, name: 'Owner', position: 1000, permissions: 1, ...stamps(moment) });
}

function addInstanceActor(draft: Draft, keys: KeyPair): void {
  const id = -99n;
  draft.rows.add('accounts', {
    id,
    username: 'mastodon.internal',
    domain: null,
    private_key: keys.privateKey,
    public_key: keys.publicKey,
    actor_type: 'Application',
    locked: true,
    ...stamps(momentOf(0, 100_000)),
  });
  draft.accounts.push({
    id,
    username: 'mastodon.internal',
    userId: undefined,
    keys,
    keysIn: 'accounts',
    suspended: false,
    token: undefined,
  });
}

function addLocal(draft: Draft, index: number, keys: KeyPair): void {
  const moment = momentOf(index, 50_000);
  const username = names[index] ?? `member${String(index)}`;
  // The instance's first accounts are from before snowflake ids.
  const id = index < 5 ? BigInt(index + 1) : snowflake(moment, index);
  const suspended = username === 'mallory';
  const keysIn = username === 'zoe' ? 'keypairs' : 'accounts';
  draft.rows.add('accounts', {
    id,
    username,
    domain: null,
    private_key: keysIn === 'accounts' ? keys.privateKey : null,
    public_key: keysIn === 'accounts' ? keys.publicKey : '',
    display_name: `${username.toUpperCase()} \u{1f9a3}`,
    note: `I am ${username}.\nBackslash \\ and\ttab.`,
    fields: { items: [{ name: 'Web', value: `https://${draft.domain}/` }] },
    also_known_as: ['https://old.example/users/"quoted"'],
    discoverable: true,
    id_scheme: index < 5 ? 0 : 1,
    suspended_at: suspended ? moment : null,
    suspension_origin: suspended ? 0 : null,
    ...picture(draft, 'avatar', id, username, moment, suspended),
    ...picture(draft, 'header', id, username, moment, suspended),
    ...stamps(moment),
  });
  if (keysIn === 'keypairs') addMovedKeys(draft, id, keys, moment);
  const user = username === 'gone' ? undefined : addUser(draft, id, username, index, moment);
  draft.accounts.push({ id, username, userId: user?.id, keys, keysIn, suspended, token: user?.token });
}

/** An avatar or a header: the row's columns, and the files. */
function picture(
  draft: Draft,
  kind: 'avatar' | 'header',
  id: bigint,
  username: string,
  moment: Date,
  suspended: boolean,
): Row {
  const absent = username === 'gone' || (kind === 'header' && id % 2n === 0n);
  const gif = username === 'zoe' && kind === 'avatar';
  const odd = username === 'bob' && kind === 'avatar';
  const name = odd ? oddName : `${draft.random.hex(8)}.${gif ? 'gif' : 'png'}`;
  const sizeBytes = absent ? 0 : 800 + draft.random.below(3000);
  if (!absent) {
    const folder = attachmentFolder(`accounts/${kind}s`, id, false);
    const mode = suspended ? 0o600 : 0o644;
    const paths = [`${folder}/original/${name}`];
    if (gif) paths.push(`${folder}/static/${styleName(name, 'png')}`);
    for (const path of paths) draft.files.push({ path, sizeBytes, mode, modifiedAt: moment });
    if (suspended) draft.oddities.private.push(...paths);
    if (odd) draft.oddities.named.push(...paths);
  }
  return {
    [`${kind}_file_name`]: absent ? null : name,
    [`${kind}_content_type`]: absent ? null : gif ? 'image/gif' : 'image/png',
    [`${kind}_file_size`]: absent ? null : sizeBytes,
    [`${kind}_updated_at`]: absent ? null : moment,
    [`${kind}_storage_schema_version`]: absent || odd ? null : 1,
  };
}

/** Where 4.7's post-deploy migration puts the keys of local accounts. */
function addMovedKeys(draft: Draft, accountId: bigint, keys: KeyPair, moment: Date): void {
  draft.rows.add('keypairs', {
    id: draft.rows.nextId('keypairs'),
    account_id: accountId,
    uri: null,
    local_fragment: '#main-key',
    type: 0,
    public_key: keys.publicKey,
    private_key: draft.encrypt(keys.privateKey),
    ...stamps(moment),
  });
}

function addUser(
  draft: Draft,
  accountId: bigint,
  username: string,
  index: number,
  moment: Date,
): { id: bigint; token: string } {
  const { rows, random } = draft;
  const id = BigInt(index + 1);
  const otpSecret = index % 3 === 0 ? random.base32(32) : undefined;
  if (otpSecret !== undefined) draft.otpSecrets.set(id, otpSecret);
  rows.add('users', {
    id,
    email: `${username}@mail.example`,
    encrypted_password: `$2a$10$${random.base32(53)}`,
    confirmed_at: moment,
    current_sign_in_at: moment,
    locale: 'en',
    otp_required_for_login: otpSecret !== undefined,
    otp_secret: otpSecret === undefined ? null : draft.encrypt(otpSecret),
    otp_backup_codes: otpSecret === undefined ? null : [`$2a$10$${random.base32(53)}`],
    account_id: accountId,
    sign_up_ip: `192.0.2.${String(index % 250)}`,
    role_id: index === 0 ? 3n : null,
    settings: JSON.stringify({ theme: 'system', 'web.trends': true }),
    time_zone: 'UTC',
    ...stamps(moment),
  });
  return { id, token: random.hex(32) };
}

function addRemote(draft: Draft, index: number, count: number, keys: KeyPair): void {
  const { rows, random } = draft;
  const moment = momentOf(index, count + 10_000);
  const id = snowflake(moment, index);
  const domain = `remote${String(index % 7)}.example`;
  const username = `remote${String(index)}`;
  const hasAvatar = index % 4 === 0;
  const beforeCache = index === 0;
  const name = `${random.hex(8)}.jpg`;
  const sizeBytes = 500 + random.below(1500);
  rows.add('accounts', {
    id,
    username,
    domain,
    public_key: keys.publicKey,
    uri: `https://${domain}/users/${username}`,
    url: `https://${domain}/@${username}`,
    inbox_url: `https://${domain}/users/${username}/inbox`,
    shared_inbox_url: `https://${domain}/inbox`,
    protocol: 1,
    actor_type: 'Person',
    avatar_file_name: hasAvatar ? name : null,
    avatar_content_type: hasAvatar ? 'image/jpeg' : null,
    avatar_file_size: hasAvatar ? sizeBytes : null,
    avatar_updated_at: hasAvatar ? moment : null,
    avatar_storage_schema_version: hasAvatar && !beforeCache ? 1 : null,
    avatar_remote_url: `https://${domain}/avatars/${username}.jpg`,
    ...stamps(moment),
  });
  draft.remoteAccountIds.push(id);
  if (hasAvatar) {
    const path = `${attachmentFolder('accounts/avatars', id, !beforeCache)}/original/${name}`;
    draft.files.push({ path, sizeBytes, mode: 0o644, modifiedAt: moment });
    if (beforeCache) draft.oddities.remoteOutsideCache.push(path);
  }
  if (index % 10 === 1) {
    rows.add('keypairs', {
      id: rows.nextId('keypairs'),
      account_id: id,
      uri: `https://${domain}/users/${username}#main-key`,
      local_fragment: null,
      type: 0,
      public_key: keys.publicKey,
      private_key: null,
      ...stamps(moment),
    });
  }
}

/** An active local account by its place, round and round; for whoever needs an author. */
export function localAuthor(draft: Draft, index: number): LocalAccount {
  const authors = draft.accounts.filter(({ userId }) => userId !== undefined);
  const chosen = authors[index % authors.length];
  if (chosen === undefined) throw new RangeError('there is no local account');
  return chosen;
}
