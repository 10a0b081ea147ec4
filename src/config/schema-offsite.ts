import { z } from 'zod';
import { file, flag, list, port, size, strict, text } from './fields.js';

/** A place, but not with a password in it: those belong in a file. */
function place(pattern: RegExp, expected: string) {
  return text(
    (input) => (pattern.test(input) && !holdsPassword(input) ? input : null),
    `${expected}, without a password in it (a file holds it)`,
  );
}

function holdsPassword(place: string): boolean {
  return /:\/\/[^/@]*:[^/@]+@/.test(place) || /(?:secret|pass|key|token)\w*=/i.test(place);
}

const identityFile = file('a private key').meta({ description: 'Opens SSH.' });
const knownHosts = file("the hosts' keys");

const bandwidth = size('5M')
  .optional()
  .meta({ description: 'Bytes a second at most, each way. Default: no limit.' });

const restic = strict({
  kind: z.literal('restic'),
  repository: place(/^[^\s-]\S*$/, 'a repository as restic writes it, such as sftp:user@host:/folder').meta({
    description: "As seen from the instance's host: sftp:…, rest:…, s3:…, or a folder.",
  }),
  passwordFile: file('the password of the repository'),
  identityFile: identityFile.optional(),
  knownHosts: knownHosts.optional(),
  environmentFile: file('KEY=VALUE lines')
    .optional()
    .meta({ description: 'KEY=VALUE lines with the credentials of S3, B2 or a REST server.' }),
  bandwidth,
});

const rclone = strict({
  kind: z.literal('rclone'),
  remote: place(/^[\w.+@-][\w.+@ -]*:.*$/, 'a remote as rclone writes it, such as cloudcrypt:mastodon'),
  configFile: file("rclone's configuration"),
  configPasswordFile: file("the password of rclone's configuration")
    .optional()
    .meta({ description: 'Opens configFile, when rclone has encrypted it.' }),
  encrypted: flag()
    .default(true)
    .meta({ description: 'false: you accept that the remote does not encrypt.' }),
  bandwidth,
});

const recipient = text(
  (input) => (/^(?:age1|ssh-)\S+/.test(input) ? input : null),
  'a public key of age (age1…) or SSH (ssh-…)',
);

const rsync = strict({
  kind: z.literal('rsync'),
  target: place(/^[A-Za-z_][\w.-]*@[^\s:]+:\S+$/, 'user@host:/folder'),
  port: port.default(22),
  identityFile,
  knownHosts,
  recipients: list(recipient, 'a list of public keys such as [age1…]')
    .default([])
    .meta({ description: 'Public keys that the backups are encrypted for.' }),
  ageIdentityFile: file('the private key of age')
    .optional()
    .meta({ description: 'Opens the backups; needed only where they are opened (drill, restore).' }),
  encrypted: flag().default(true).meta({ description: 'false: you accept plain files on the other side.' }),
  bandwidth,
}).superRefine(({ recipients, encrypted }, context) => {
  if (recipients.length > 0 || !encrypted) return;
  const message = 'expected at least one public key of age (age1…), or encrypted: false';
  context.addIssue({ code: 'custom', path: ['recipients'], message });
});

export const offsite = z.discriminatedUnion('kind', [restic, rclone, rsync]);

export type OffsiteInput = z.output<typeof offsite>;
