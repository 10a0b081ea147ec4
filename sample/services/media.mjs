import { join } from 'node:path';
import { env, root } from './env.mjs';

/** Where uploads are kept (config/initializers/paperclip.rb). */
export const mediaFolder = env.PAPERCLIP_ROOT_PATH || join(root, 'public/system');

/** The folder of an attachment's file below it. */
export function attachmentFolder(id) {
  const digits = String(id).padStart(id.length <= 9 ? 9 : 12, '0');
  return `media_attachments/files/${digits.match(/\d{3}/g).join('/')}`;
}

/** The attachments of statuses as the API shows them, by the status. */
export async function attachments(database, statuses) {
  const { rows } = await database.query(
    `SELECT id, status_id, file_file_name AS name FROM media_attachments
     WHERE status_id = ANY($1) AND file_file_name IS NOT NULL ORDER BY id`,
    [statuses],
  );
  const found = new Map();
  for (const { id, status_id: status, name } of rows) {
    const path = `${attachmentFolder(id)}/original/${encodeURIComponent(name)}`;
    const url = `https://${env.WEB_DOMAIN || env.LOCAL_DOMAIN}/system/${path}`;
    found.set(status, [...(found.get(status) ?? []), { id, url }]);
  }
  return found;
}
