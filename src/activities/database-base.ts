import { z } from 'zod';
import type { FullDump } from '../backups/database-plan.js';
import { backupIdPattern } from '../backups/id.js';
import { manifestSchema } from '../backups/manifest.js';
import type { Host } from '../hosts/host.js';
import type { StoredPartRef } from '../offsite/offsite.js';
import { present } from '../present.js';

/**
 * What the instance's host remembers of its last full dump, in `<host folder>/base/<domain>` (0700), so that a delta can
 * be made against it:
 *
 * - `full.json`, the full dump, and `<backup>.signature`, which it names: the file is renamed into place when the signature
 *   lies there, so a crash leaves the old pair or the new one.
 * - `sealed-<offsite>.json`: that this off-site has it, and where.
 * - `walked-<offsite>.json`: when a delta and its full dump were last put together from what lies there. It outlives the
 *   full dump.
 * - `delta.json`: the size of the newest delta against it.
 *
 * Nothing here is needed for a restore. What is lost costs a full dump.
 */

const backup = z.string().regex(backupIdPattern);

const fullSchema = z.object({
  ...{ backup, bytes: z.number(), sha256: z.string() },
  ...{ blockSize: z.number(), signatureSha256: z.string() },
  ...{ pgMajor: z.number(), mastodon: z.string().nullable(), schema: z.string().nullable() },
  storedBytes: z.number(),
});
const { snapshot, root, stored } = manifestSchema.shape.parts.element.shape;
const sealedSchema = z.object({
  backup,
  ref: z.object({ snapshot, root, files: stored }),
});
const walkedSchema = z.object({ walkedAt: z.iso.datetime() });
const deltaSchema = z.object({ full: backup, bytes: z.number() });

export class DatabaseBase {
  private constructor(
    readonly host: Host,
    /** On the host, absolute. */
    readonly folder: string,
  ) {}

  static async of(host: Host, domain: string): Promise<DatabaseBase> {
    return new DatabaseBase(host, `${(await host.facts()).folder}/base/${domain}`);
  }

  signaturePath(full: Pick<FullDump, 'backup'>): string {
    return `${this.folder}/${full.backup}.signature`;
  }

  /** The last full dump; null when none is remembered. */
  full(): Promise<FullDump | null> {
    return this.#read('full.json', fullSchema);
  }

  /** Whether the signature of the full dump lies there as it was made. */
  async hasSignature(full: FullDump): Promise<boolean> {
    const script = `test -f "$1" || exit 0
if command -v openssl > /dev/null; then openssl dgst -sha256 -r < "$1"; else sha256sum < "$1"; fi`;
    const { stdout } = await this.host.run(['sh', '-c', script, 'sh', this.signaturePath(full)], {
      timeoutMs: 600_000,
    });
    return stdout.startsWith(full.signatureSha256);
  }

  /** Bytes of the newest delta against this full dump. */
  async lastDelta(full: FullDump): Promise<number | undefined> {
    const delta = await this.#read('delta.json', deltaSchema);
    return delta?.full === full.backup ? delta.bytes : undefined;
  }

  /** Where an off-site has the full dump of this backup, as far as the host knows. */
  async sealedOn(offsite: string, full: string): Promise<StoredPartRef | null> {
    const note = await this.#read(`sealed-${offsite}.json`, sealedSchema);
    return note?.backup === full ? { backup: full, name: 'database', ...present(note.ref) } : null;
  }

  async #noteSealed(offsite: string, { backup: full, snapshot, root, files }: StoredPartRef): Promise<void> {
    await this.#write(`sealed-${offsite}.json`, { backup: full, ref: { snapshot, root, files } });
  }

  /** ISO time of the last walk on an off-site that found nothing, against whichever full dump. */
  async walkedAt(offsite: string): Promise<string | undefined> {
    return (await this.#read(`walked-${offsite}.json`, walkedSchema))?.walkedAt;
  }

  async noteWalked(offsite: string, walkedAt: string): Promise<void> {
    await this.#write(`walked-${offsite}.json`, { walkedAt });
  }

  /** The full dump is not there as it should be: no delta is made against it any more. */
  async forgetSealed(offsite: string): Promise<void> {
    await this.host.run(['rm', '-f', '--', `${this.folder}/sealed-${offsite}.json`]);
  }

  async noteDelta(full: string, bytes: number): Promise<void> {
    await this.#write('delta.json', { full, bytes });
  }

  /**
   * From here on deltas are made against this full dump. Safe to run again.
   *
   * @param signature the file that becomes its signature: moved, on the same disk.
   * @param sealed the off-sites that have it, and where.
   */
  async adopt(
    full: FullDump,
    signature: string,
    sealed: readonly { name: string; ref: StoredPartRef }[],
  ): Promise<void> {
    const move = `umask 077; mkdir -p -m 700 -- "$3" || exit 1
if [ -f "$1" ]; then mv -f -- "$1" "$2"; else [ -f "$2" ]; fi`;
    const path = this.signaturePath(full);
    await this.host.run(['sh', '-c', move, 'sh', signature, path, this.folder]);
    for (const { name, ref } of sealed) await this.#noteSealed(name, ref);
    await this.#write('full.json', full);
    const tidy = 'cd -- "$1" && for f in *.signature; do [ "$f" = "$2" ] || rm -f -- "$f"; done';
    await this.host.run(['sh', '-c', tidy, 'sh', this.folder, `${full.backup}.signature`]);
  }

  /** What cannot be read is not remembered. */
  async #read<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
    const { exitCode, stdout } = await this.host.run(['cat', '--', `${this.folder}/${file}`], {
      okCodes: [0, 1],
    });
    if (exitCode !== 0) return null;
    try {
      return schema.safeParse(JSON.parse(stdout)).data ?? null;
    } catch {
      return null;
    }
  }

  async #write(file: string, content: unknown): Promise<void> {
    await this.host.putFile(`${this.folder}/${file}`, `${JSON.stringify(content)}\n`, 0o600);
  }
}
