import { expect, it } from 'vitest';
import { readManifest } from '../../../src/backups/manifest.js';
import type { PartName } from '../../../src/backups/parts.js';
import type { VerifyDepth } from '../../../src/backups/verify-report.js';
import type { Offsite } from '../../../src/offsite/offsite.js';
import { verifyBackup } from '../../../src/offsite/verify-backup.js';
import { type Capture, type Night, special } from './capture.js';
import { spoilMedia, Vandal } from './damage.js';
import { domain, type Ground, publicKey } from './ground.js';
import type { Nights } from './nights.js';

/** What stands when the steps run. */
interface Stage {
  readonly capture: Capture;
  readonly ground: Ground;
  readonly offsite: Offsite;
  readonly nights: Nights;
}

/** What verifying a night finds: `media: accounts/…`, or the part alone. */
export async function verified(
  { offsite, ground }: Pick<Stage, 'offsite' | 'ground'>,
  night: Night,
  depth: VerifyDepth,
): Promise<string[]> {
  const { passed, findings } = await verifyBackup({
    ...{ copy: offsite, reader: { host: ground.host, scratch: ground.scratch() }, domain, depth },
    ...{ backup: night.backup, trusted: { keys: [publicKey] }, work: ground.folder },
  });
  expect(passed).toBe(findings.length === 0);
  return findings.map(({ part, path }) => (path === undefined ? part : `${part}: ${path}`));
}

/** That verifying finds whatever is wrong: the three nights are sealed there. */
export function verificationSteps(stage: () => Stage): void {
  const capture = () => stage().capture;
  const ground = () => stage().ground;
  const offsite = () => stage().offsite;
  const nights = () => stage().nights;
  const vandal = () => new Vandal(ground());

  const verify = (night: Night, depth: VerifyDepth) => verified(stage(), night, depth);

  /** Of files that came up behind the place, those with content in them: of restic, its packs. */
  const ofData = (files: readonly string[]) =>
    files.filter((file) => ground().place.pool || file.startsWith('data/'));

  it('finds what was spoiled, and names it with its part and path', async () => {
    const { first, second } = capture();
    const { pool } = ground().place;
    const packOf = (night: Night, part: PartName) =>
      vandal().largest(ofData(nights().part(night, part)[1].files));
    const [media] = nights().part(second, 'media');
    const [, secrets] = nights().part(second, 'secrets');
    let paths: (string | string[])[] = [special.fresh, special.replaced];
    const spoil = async () => {
      await vandal().flipBit(await packOf(second, 'database'));
      for (const file of ofData(secrets.files)) await vandal().remove(file);
      if (!pool) {
        await vandal().cut(await packOf(second, 'redis'));
        await vandal().remove(await packOf(second, 'media'));
        return;
      }
      await vandal().replace(await packOf(second, 'redis'), await packOf(first, 'redis')); // of the same size
      const sizeOf = (path: string) => media.files.find((file) => file.path === path)?.size ?? -1;
      paths = await spoilMedia(vandal(), sizeOf);
    };
    await vandal().spoiled(spoil, async () => {
      const found = await verify(second, 'all');
      expect(found).toEqual(
        expect.arrayContaining(['database: database.dump', 'redis: dump.rdb', 'secrets: secrets.tar']),
      );
      const ofMedia = found.flatMap((one) => /^media: (.*)$/s.exec(one)?.[1] ?? []);
      for (const path of paths)
        expect(
          [path].flat().some((one) => ofMedia.includes(one)),
          String(path),
        ).toBe(true);
      expect(ofMedia.filter((one) => !paths.flat().includes(one))).toEqual([]);
    });
  });

  it('finds a manifest that is an older one, that is gone, or that was edited', async () => {
    const { first, second } = capture();
    const older = nights().manifestFile(first);
    const newer = nights().manifestFile(second);
    const text = await offsite().readManifest(await nights().listed(first));
    const { pool, replay } = ground().place;
    const putOlder = () =>
      replay === undefined ? vandal().replace(newer, older) : replay(text, second.backup);
    await vandal().spoiled(putOlder, async () => {
      expect(await verify(second, 'new')).toContain('manifest');
    });
    await vandal().spoiled(
      () => (pool ? vandal().remove(newer) : vandal().flipBit(newer)),
      async () => {
        expect(await verify(second, 'new')).toContain('manifest');
      },
    );
    const manifest = readManifest(await offsite().readManifest(await nights().listed(second)), 'here');
    const edit = () =>
      offsite()
        .seal({ ...manifest, warnings: ['all is well'] }, true)
        .then(() => undefined);
    await vandal().spoiled(edit, async () => {
      expect(await verify(second, 'new')).toEqual(['manifest']);
    });
  });
}
