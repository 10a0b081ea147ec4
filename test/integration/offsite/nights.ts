import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { PartName } from '../../../src/backups/parts.js';
import type { HostStream } from '../../../src/hosts/host.js';
import type { Offsite, StoredBackup, StoredPart } from '../../../src/offsite/offsite.js';
import { captured, type Night, type NightPart } from './capture.js';
import { type Ground, manifestOf, type Sent } from './ground.js';

/** What was sent to an off-site under test, night by night, and what has to come back. */
export class Nights {
  #sent = new Map<Night, Sent>();
  #manifests = new Map<Night, string>();

  constructor(
    private readonly ground: Ground,
    private readonly offsite: Offsite,
  ) {}

  /** Sends every part of a night. */
  async send(night: Night, again = false): Promise<void> {
    const send = (part: NightPart) => captured(night, part, { again });
    this.#sent.set(night, await this.ground.put(this.offsite, night, send));
  }

  /** Seals it with a manifest that says so. */
  async seal(night: Night, again = false, warnings: string[] = []): Promise<void> {
    const before = await this.ground.behind();
    await this.offsite.seal(manifestOf(night, this.#sent.get(night), this.offsite, { warnings }), again);
    const sealing = [...(await this.ground.behind())].filter(([path]) => !before.has(path));
    const [largest] = sealing.sort(([, one], [, other]) => other.bytes - one.bytes);
    this.#manifests.set(night, largest?.[0] ?? '');
  }

  has(night: Night): boolean {
    return this.#sent.has(night);
  }

  /** A part as it was captured, and what became of it. */
  part(night: Night, name: PartName): [NightPart, StoredPart & { files: string[] }] {
    for (const [part, stored] of this.#sent.get(night) ?? []) if (part.name === name) return [part, stored];
    throw new Error(`${name} of ${night.backup} was not sent`);
  }

  sent(night: Night): Sent | undefined {
    return this.#sent.get(night);
  }

  /** The file behind the place that holds the manifest, where a file is a file there. */
  manifestFile(night: Night): string {
    return this.#manifests.get(night) ?? '';
  }

  /** As the off-site lists it. */
  async listed(night: Night): Promise<StoredBackup> {
    const found = (await this.offsite.list()).sealed.find(({ backup }) => backup === night.backup);
    if (found === undefined) throw new Error(`${night.backup} is not listed`);
    return found;
  }

  /** What reading the media has to give. */
  mediaOf(night: Night): Map<string, string> {
    const [{ files }] = this.part(night, 'media');
    return new Map(files.map((file) => [this.offsite.mediaKey(file), file.sha256]));
  }

  async readMedia(night: Night, batches: readonly NightPart['files'][]): Promise<Map<string, string>> {
    const [, { ref }] = this.part(night, 'media');
    const read = new Map<string, string>();
    for (const batch of batches)
      for await (const { key, sha256 } of this.offsite.readMedia(ref, batch, this.ground.scratch()))
        read.set(key, sha256);
    return read;
  }

  /** That all of a backup comes back as it was captured. */
  async expectWhole(night: Night): Promise<void> {
    const { offsite } = this;
    for (const [part, { ref }] of this.#sent.get(night) ?? []) {
      for (const entry of part.entries) {
        const stored = ref.files?.find((file) => file.entry === entry.path);
        expect(await offsite.sizeOfEntry(ref, entry.path)).toBe(stored?.bytes ?? entry.bytes);
        const read = await hashOf(await offsite.readEntry(ref, entry.path));
        expect(read, `${night.backup} ${entry.path}`).toMatchObject({ sha256: entry.sha256, exitCode: 0 });
      }
      if (part.name === 'media')
        expect(await this.readMedia(night, [part.files])).toEqual(this.mediaOf(night));
    }
  }
}

/** Reads a stream to its end. */
export async function hashOf(stream: HostStream | undefined): Promise<{ sha256: string; exitCode: number }> {
  if (stream === undefined) throw new Error('nothing to read');
  const hash = createHash('sha256');
  for await (const chunk of stream.stdout as AsyncIterable<Buffer>) hash.update(chunk);
  return { sha256: hash.digest('hex'), ...(await stream.completed) };
}
