import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readManifest, writeManifest } from '../../../src/backups/manifest.js';
import type { PartName } from '../../../src/backups/parts.js';
import { hashFolder } from '../../../src/offsite/hash-folder.js';
import type { Offsite } from '../../../src/offsite/offsite.js';
import { type Capture, captured, contentsOf, makeCapture, type Night, sha256, special } from './capture.js';
import { commandLines, domain, Ground, Interrupted, manifestOf, type Place } from './ground.js';
import { hashOf, Nights } from './nights.js';
import { verificationSteps, verified } from './verification.js';

/** One capture for all places of a test file. */
let made: Capture;
beforeAll(async () => {
  made = await makeCapture();
});
afterAll(() => rm(made.folder, { recursive: true, force: true }));

/**
 * What every kind of off-site must do, wherever it is.
 *
 * @param prepare makes the place, given a private folder for it.
 * @param list `short` where a quicker sibling of the same kind shows the rest.
 */
export function conformance(
  name: string,
  prepare: (folder: string) => Promise<Place>,
  { list = 'whole' }: { list?: 'whole' | 'short' } = {},
): void {
  describe(`an off-site: ${name}`, () => {
    let capture: Capture;
    let folder: string;
    let ground: Ground;
    let offsite: Offsite;
    let nights: Nights;

    beforeAll(async () => {
      capture = list === 'whole' ? made : { ...made, first: someOf(made.first, 'secrets', 'media') };
      folder = await mkdtemp(join(tmpdir(), 'permafrost-offsite-'));
      ground = new Ground(folder, await prepare(folder));
      offsite = await ground.open();
      nights = new Nights(ground, offsite);
    });
    afterAll(async () => {
      try {
        await ground.stop();
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    // The steps build on each other: after one that failed, the others would only say so at length.
    let failed = false;
    beforeEach((step) => {
      step.skip(failed, 'an earlier step has failed');
      step.onTestFailed(() => {
        failed = true;
      });
    });

    it('says that nothing is there yet, and how it is set up; once only', async () => {
      const init = expect.stringContaining(`permafrost offsite init ${offsite.name}`);
      await expect(offsite.check()).rejects.toMatchObject({ type: 'NotFound', next: init });
      await offsite.create();
      ground.place.created?.();
      await offsite.check();
      await expect(offsite.create()).rejects.toMatchObject({ type: 'Refused' });
      await offsite.check();
      expect(await offsite.list()).toEqual({ sealed: [], unsealed: [] });
    });

    it('proves that it can write, and leaves nothing behind', async () => {
      const before = await ground.behind();
      await offsite.proveWriting?.();
      expect([...(await ground.behind()).keys()]).toEqual([...before.keys()]);
    });

    it('refuses what does not open it', async () => {
      for (const { what, config, type } of ground.place.wrong) {
        const wrong = await ground.open(config);
        const said: unknown = await wrong.check().catch((error: unknown) => error);
        expect(said, what).toMatchObject({ type });
        for (const secret of ground.place.secrets) expect(String(said)).not.toContain(secret);
      }
    });

    if (list === 'whole') {
      it('goes on where an interrupted upload has ended, and never shows anything half-made', async () => {
        const media = capture.first.parts.find((part) => part.name === 'media');
        if (media === undefined) throw new Error('no media');
        const slow = await ground.open({ ...ground.place.config, bandwidth: 400_000 });
        const before = await ground.behind();
        let asked = 0;
        let seen = '';
        const interrupted = slow.put(
          captured(capture.first, media),
          ground.interrupter(async () => {
            if (asked++ % 4 === 0) seen += await commandLines();
            return (await ground.behind()).size >= before.size + 6 || asked > 12;
          }),
        );
        await expect(interrupted).rejects.toBeInstanceOf(Interrupted);
        const { sealed, unsealed } = await offsite.list();
        expect(sealed).toEqual([]);
        expect([[], [capture.first.backup]]).toContainEqual(unsealed);
        expect(seen).toContain(ground.folder); // so the look was at the right moment
        for (const secret of ground.place.secrets) expect(seen).not.toContain(secret);

        const arrived = [...(await ground.behind())].filter(([path]) => !before.has(path));
        await offsite.put(captured(capture.first, media, { again: true }), ground.follow);
        const after = await ground.behind();
        const sentAgain = arrived.filter(
          ([path, { identity }]) => after.has(path) && after.get(path)?.identity !== identity,
        );
        expect(sentAgain).toEqual([]);
      });
    }

    it('takes a night, and shows it when its manifest is there and not before', async () => {
      const { first } = capture;
      await nights.send(first, list === 'whole');
      expect(await offsite.list()).toEqual({ sealed: [], unsealed: [first.backup] });
      await nights.seal(first, false);
      const stored = await nights.listed(first);
      expect([...stored.parts].sort()).toEqual(first.parts.map(({ name }) => name).sort());
      expect(stored).not.toHaveProperty('dependsOn');
      expect(stored).not.toHaveProperty('kept');
      expect((await offsite.list()).unsealed).toEqual([]);
      const manifest = manifestOf(first, nights.sent(first), offsite);
      expect(await offsite.readManifest(stored)).toBe(writeManifest(manifest));
      expect(ground.jobs.length).toBeGreaterThan(0);
      for (const { options } of ground.jobs) expect(options.nice).toBeGreaterThan(0);
    });

    it('gives back what it took', async () => {
      await nights.expectWhole(capture.first);
      const [part, { ref }] = nights.part(capture.first, 'secrets');
      for (const entry of part.entries) {
        const file = join(folder, 'saved-entry');
        expect(await offsite.saveEntry?.(ref, entry.path, file)).toBe(true);
        expect(sha256(await readFile(file))).toBe(entry.sha256);
      }
      expect(await offsite.sizeOfEntry(ref, 'no such file')).toBeNull();
      const missing = await offsite
        .readEntry(ref, 'no such file')
        .then(hashOf)
        .catch(() => ({ exitCode: 1 }));
      expect(missing.exitCode).not.toBe(0);
      if (ground.place.keyless !== true) return;
      const keyless = await ground.open(ground.place.config, domain, { opens: false });
      const [entry] = part.entries;
      const stored = ref.files?.find(({ entry: path }) => path === entry?.path);
      expect(keyless.opens).toBe(false);
      await expect(keyless.readEntry(ref, entry?.path ?? '')).rejects.toMatchObject({ type: 'AuthFailed' });
      const asItLies = await hashOf(await keyless.readStored?.(ref, entry?.path ?? ''));
      expect(asItLies).toMatchObject({ sha256: stored?.sha256, exitCode: 0 });
    });

    it('shows nothing to who only finds what lies there', async () => {
      const inside = async (content: string) =>
        (await execa('grep', ['-rlaF', '--', content, ground.place.behind], { reject: false })).stdout !== '';
      const [secrets] = nights.part(capture.first, 'secrets');
      const [media] = nights.part(capture.first, 'media');
      const key = /=(.{40})/.exec(await readFile(join(secrets.folder, 'secrets.tar'), 'utf8'))?.[1] ?? '';
      const { encrypts } = ground.place;
      expect(key).toHaveLength(40);
      if (encrypts !== 'nothing') expect(await inside(key)).toBe(false);
      const large = media.files.find(({ path }) => path === special.large);
      expect([...(await ground.behind()).values()].some(({ bytes }) => bytes === large?.size)).toBe(
        encrypts !== 'all',
      );
    });

    if (list === 'whole') {
      it('lists the media, and reads them by batches or all at once', async () => {
        const [media, { ref }] = nights.part(capture.first, 'media');
        const listed = new Map<string, number>();
        for await (const { key, size } of offsite.listMedia(ref)) listed.set(key, size);
        expect(listed).toEqual(new Map(media.files.map((file) => [offsite.mediaKey(file), file.size])));
        const half = Math.ceil(media.files.length / 2);
        const batches = [media.files.slice(0, half), [], media.files.slice(half)];
        expect(await nights.readMedia(capture.first, batches)).toEqual(nights.mediaOf(capture.first));
        if (offsite.readAllMedia !== undefined) {
          const all = new Map<string, string>();
          for await (const { key, sha256 } of offsite.readAllMedia(ref)) all.set(key, sha256);
          expect(all).toEqual(nights.mediaOf(capture.first));
        }
        expect((await readdir(folder)).filter((name) => name.startsWith('scratch-'))).toEqual([]);
      });

      it('passes over media that are not there', async () => {
        const [media, { ref }] = nights.part(capture.first, 'media');
        const [known] = media.files;
        if (known === undefined) throw new Error('no media');
        const unknown = { path: 'accounts/none.png', sha256: sha256('none'), size: 4 };
        const read = [];
        for await (const { key } of offsite.readMedia(ref, [unknown, known], ground.scratch()))
          read.push(key);
        expect(read).toContain(offsite.mediaKey(known));
        expect(read).not.toContain(offsite.mediaKey(unknown));
      });

      it('puts media below a folder, each under its name', async () => {
        const [media, { ref }] = nights.part(capture.first, 'media');
        const into = join(folder, 'fetched');
        await offsite.fetchMedia(ref, media.files, into);
        const fetched = new Map<string, string>();
        for await (const { path, sha256 } of hashFolder(ground.host, 'login', into))
          fetched.set(path, sha256);
        expect(fetched).toEqual(new Map(media.files.map(({ path, sha256 }) => [path, sha256])));
        await rm(into, { recursive: true });
      });

      it('sends only what is new in the second night, and the first stays as it was', async () => {
        await nights.send(capture.second, false);
        await nights.seal(capture.second, false);
        const [first] = nights.part(capture.first, 'media');
        const [second, secondSent] = nights.part(capture.second, 'media');
        const fresh = [...contentsOf(second)].filter(([content]) => !contentsOf(first).has(content));
        const freshBytes = fresh.reduce((sum, [, size]) => sum + size, 0);
        expect(fresh).toHaveLength(2);
        expect(secondSent.bytesAdded).toBeGreaterThanOrEqual(freshBytes);
        expect(secondSent.bytesAdded).toBeLessThan(freshBytes + 60_000); // and the index and names of folders
        await nights.expectWhole(capture.first);
        expect((await offsite.list()).sealed.map(({ backup }) => backup)).toEqual([
          capture.second.backup,
          capture.first.backup,
        ]);
      });

      it('tells which backup a delta needs, and what somebody keeps', async () => {
        await nights.send(capture.third, false);
        await nights.seal(capture.third, false);
        expect(await nights.listed(capture.third)).toMatchObject({
          parts: ['database'],
          dependsOn: capture.second.backup,
        });
        const { backup } = capture.first;
        await offsite.keep(backup, '2027-01-31');
        expect(await nights.listed(capture.first)).toMatchObject({ kept: '2027-01-31' });
        await offsite.keep(backup, null);
        await offsite.keep(backup, '2027-02-28');
        expect(await nights.listed(capture.first)).toMatchObject({ kept: 'forever' });
        expect(await nights.listed(capture.second)).not.toHaveProperty('kept');
        await offsite.release(backup);
        expect(await nights.listed(capture.first)).not.toHaveProperty('kept');
      });

      it('keeps one copy of a part and of a manifest that were sent again, the later', async () => {
        const before = await nights.listed(capture.third);
        await rm(join(folder, 'work'), { recursive: true, force: true }); // what the first attempt had made ready is lost
        await nights.send(capture.thirdAgain, true);
        await nights.seal(capture.thirdAgain, true, ['sent again']);
        const after = await nights.listed(capture.third);
        expect(after.key).not.toBe(before.key);
        expect(readManifest(await offsite.readManifest(after), 'here').warnings).toEqual(['sent again']);
        await nights.expectWhole(capture.thirdAgain);
      });

      // Before anything is removed: restic then rewrites its packs, and their names are lost.
      verificationSteps(() => ({ capture, ground, offsite, nights }));

      it('keeps what belongs to another instance apart', async () => {
        const neighbour = await ground.open(ground.place.config, 'other.example');
        const night = someOf(capture.first, 'redis');
        const before = await offsite.list();
        await neighbour.create().catch(() => undefined); // a place of several may be there already
        expect(await neighbour.list()).toEqual({ sealed: [], unsealed: [] });
        const sent = await ground.put(neighbour, night, (part) => captured(night, part));
        await neighbour.seal(manifestOf(night, sent, neighbour, { instance: 'other.example' }), false);
        expect((await neighbour.list()).sealed).toMatchObject([{ backup: night.backup, parts: ['redis'] }]);
        expect(await offsite.list()).toEqual(before);
        expect(await neighbour.remove([night.backup], ground.follow)).toBe('removed');
        expect(await offsite.list()).toEqual(before);
      });
    }

    it('takes reports beside a backup, which are no part of it', async (step) => {
      step.skip(list === 'short' && ground.place.appendOnly !== true, 'a sibling shows it');
      const { backup } = capture.first;
      const before = await offsite.list();
      expect(await offsite.listAttached(backup)).toEqual([]);
      await offsite.attach(backup, 'drill-20261201T050000Z.html', '<p>passed</p>');
      await offsite.attach(backup, 'drill-20261201T050000Z.html', page);
      expect(await offsite.listAttached(backup)).toEqual(['drill-20261201T050000Z.html']);
      expect(await offsite.readAttached(backup, 'drill-20261201T050000Z.html')).toBe(page);
      await expect(offsite.readAttached(backup, 'none.html')).rejects.toMatchObject({ type: 'NotFound' });
      await expect(offsite.attach(backup, '../manifest.json', '')).rejects.toMatchObject({
        type: 'Unexpected',
      });
      expect(await offsite.list()).toEqual(before);
    });

    it('removes a backup, and the others stay whole', async () => {
      const before = await ground.behind();
      const list = await offsite.list();
      const { first, ...later } = capture;
      if (ground.place.appendOnly === true) {
        expect(await offsite.remove([first.backup], ground.follow)).toBe('append-only');
        expect(await offsite.list()).toEqual(list);
        expect(await offsite.listAttached(first.backup)).toHaveLength(1);
        expect([...(await ground.behind()).keys()]).toEqual([...before.keys()]);
        await nights.expectWhole(first);
        return;
      }
      const others = { sealed: list.sealed.filter(({ backup }) => backup !== first.backup), unsealed: [] };
      expect(await offsite.remove([first.backup], ground.follow)).toBe('removed');
      expect(await offsite.list()).toEqual(others);
      expect(await offsite.listAttached(first.backup)).toEqual([]);
      expect(total(await ground.behind())).toBeLessThan(total(before));
      for (const night of [later.second, later.third])
        if (nights.has(night)) expect(await verified({ offsite, ground }, night, 'all')).toEqual([]);
      expect(await offsite.remove([], ground.follow)).toBe('removed');
      expect(await offsite.remove([first.backup], ground.follow)).toBe('removed'); // again, as after a crash
      expect(await offsite.list()).toEqual(others);
    });

    it('never shows a credential in a command line', () => {
      const heard = ground.heard.flat().join('\n');
      expect(heard).toContain(ground.folder);
      for (const secret of ground.place.secrets) expect(heard).not.toContain(secret);
    });
  });
}

/** More than a pipe holds at once, and bytes that something might translate. */
const page = `<p>übrig\r\n\t\0${'ä'.repeat(100_000)}</p>`;

/** A night of some parts alone. */
function someOf(night: Night, ...names: readonly PartName[]): Night {
  return { ...night, parts: night.parts.filter(({ name }) => names.includes(name)) };
}

function total(files: ReadonlyMap<string, { bytes: number }>): number {
  return [...files.values()].reduce((sum, { bytes }) => sum + bytes, 0);
}
