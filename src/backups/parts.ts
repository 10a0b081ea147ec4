/** What a backup is made of, in the order of importance that Mastodon's own handbook gives (docs.joinmastodon.org/admin/backups). */
export const partNames = ['database', 'secrets', 'media', 'redis'] as const;
export type PartName = (typeof partNames)[number];

/** How Mastodon's services are held while the moment of a backup is taken. */
export const quiesceModes = ['brief', 'full', 'none'] as const;
export type QuiesceMode = (typeof quiesceModes)[number];
