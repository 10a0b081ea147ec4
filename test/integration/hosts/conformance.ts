import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, type FailureType } from '../../../src/errors.js';
import type { Host, Identity, Job, JobStatus } from '../../../src/hosts/host.js';

export interface Ground {
  /** A new host object each time, as another worker would have it. */
  open(): Host;
  /** Who logs in. */
  user: string;
  /** Another user whom it can become, if any. */
  other?: string;
  /** Whether `privileged` is root. */
  privileged: boolean;
  systemdJobs: boolean;
  /** Cuts all connections that are open, from outside. */
  cut?: (host: Host) => Promise<void>;
  destroy?: () => Promise<void>;
}

/** What every host must do, whatever is between it and us. */
export function conformance(name: string, prepare: () => Promise<Ground>): void {
  describe(`a host: ${name}`, () => {
    let ground: Ground;
    let host: Host;
    const ids: string[] = [];

    beforeAll(async () => {
      ground = await prepare();
      host = ground.open();
    });
    afterAll(async () => {
      for (const id of ids) {
        await host.job(id).cancel();
        await host.job(id).forget();
      }
      expect(await host.listJobs()).toEqual([]);
      await host.close();
      await ground.destroy?.();
    });

    const newId = (): string => {
      const id = `t.${randomBytes(4).toString('hex')}_-1`;
      ids.push(id);
      return id;
    };
    const start = (script: string, options = {}, id = newId()): Promise<Job> =>
      host.startJob(id, ['bash', '-c', script, 'bash', id], options);
    const output = async (script: string, ...args: string[]): Promise<string> =>
      (await host.run(['bash', '-c', script, 'bash', ...args])).stdout.trim();
    /** Pids of the processes that have `mark` in their command line, by the eyes of whoever sees all of them. */
    const alive = async (mark: string): Promise<string[]> => {
      const { stdout } = await host.run(['ps', '-eo', 'pid=,args=']);
      return stdout.split('\n').filter((line) => line.includes(mark) && !line.includes('ps -eo'));
    };

    it('says what it is like', async () => {
      const facts = await host.facts();
      expect(facts).toMatchObject({
        user: ground.user,
        root: ground.user === 'root',
        systemdJobs: ground.systemdJobs,
      });
      expect(facts.arch).toMatch(/^(x86_64|aarch64)$/);
      expect(await output('stat -c "%a %U" "$1"', facts.folder)).toBe(`700 ${ground.user}`);
      expect(await output('cat /proc/sys/kernel/random/boot_id')).toBe(facts.bootId);
    });

    it('hands an argv over as it is', async () => {
      const hostile = [
        '',
        ' ',
        "'",
        '"',
        '$HOME',
        '`id`',
        '\n',
        'a\nb',
        '--',
        '-n',
        '*',
        '\\',
        '!!',
        'ünï🦣',
        '\x01\x7f\t',
        '%s',
      ];
      const { stdout } = await host.run(['printf', '[%s]', ...hostile]);
      expect(stdout).toBe(hostile.map((word) => `[${word}]`).join(''));
      expect((await host.run(['printf', '%s', '~', '=', 'a=b'])).stdout).toBe('~=a=b');
    });

    it('gives variables, a folder and stdin to a command', async () => {
      const script = 'printf "%s|%s|" "$WORDS" "$PWD"; cat';
      const options = { env: { WORDS: "it's $HERE" }, cwd: '/usr/share', stdin: 'line\nend' };
      expect((await host.run(['bash', '-c', script], options)).stdout).toBe(
        "it's $HERE|/usr/share|line\nend",
      );
      expect((await host.run(['cat'])).stdout).toBe('');
      const big = randomBytes(3_000_000).toString('base64');
      expect((await host.run(['wc', '-c'], { stdin: big })).stdout.trim()).toBe(String(big.length));
    });

    it("does not run a user's .bashrc", async () => {
      const { folder } = await host.facts();
      await host.putFile(`${folder}/home/.bashrc`, 'echo noise');
      const options = { env: { HOME: `${folder}/home` }, stdin: 'quiet' };
      expect((await host.run(['bash', '-c', 'cat'], options)).stdout).toBe('quiet');
      await host.run(['rm', '-r', `${folder}/home`]);
    });

    it('tells how a command ended', async () => {
      const script = (text: string): string[] => ['bash', '-c', text];
      expect(await host.run(script('echo out; echo err >&2; exit 3'), { okCodes: [3] })).toMatchObject({
        exitCode: 3,
        stdout: 'out\n',
        stderr: 'err\n',
      });
      await fails(host.run(script('echo why >&2; exit 4')), 'CommandFailed', /exit code 4: why$/);
      expect((await host.run(script('kill -9 $$'), { okCodes: [137] })).exitCode).toBe(137);
      expect((await host.run(['no-such-program-here'], { okCodes: [127] })).exitCode).toBe(127);
      const long = await host
        .run(script('yes "0123456789" | head -c 100000 >&2; exit 1'))
        .catch((error: unknown) => error);
      expect(long).toBeInstanceOf(Failure);
      expect((long as Failure).message.length).toBeLessThan(2500);
    });

    it('returns much output whole, and too much not at all', async () => {
      const { stdout } = await host.run(['bash', '-c', 'seq 1 400000']);
      expect(stdout.length).toBe(2_688_895);
      expect(stdout.endsWith('399999\n400000\n')).toBe(true);
      await fails(
        host.run(['yes'], { maxOutputBytes: 1_000_000 }),
        'CommandFailed',
        /more than 1000000 bytes/,
      );
    });

    // Side by side, since they wait: for a grace to be over.
    it.concurrent('does not wait for what a command leaves in the background', async () => {
      const mark = `30${Date.now()}`;
      const left = await host.run(['bash', '-c', `sleep ${mark} & echo $!`]);
      expect(left.stdout).toMatch(/^\d+\n$/);
      expect(await alive(mark)).toHaveLength(1);
      await host.run(['kill', left.stdout.trim()]);
    });

    it.concurrent('ends a command that takes too long, with all it started', async () => {
      const mark = `31${Date.now()}`;
      const script = `trap "" TERM; setsid sleep ${mark} & sleep ${mark}; sleep ${mark}`;
      await fails(host.run(['bash', '-c', script], { timeoutMs: 700 }), 'CommandTimedOut', /0\.7 s/);
      expect(await alive(mark)).toEqual([]);
    });

    it.concurrent('ends a command when its caller does not want it any more', async () => {
      const reason = new Error('enough');
      const identities: Identity[] = ['login', 'privileged'];
      if (ground.other !== undefined) identities.push({ user: ground.other });
      for (const as of identities) {
        const mark = `32${Date.now()}`;
        const controller = new AbortController();
        const running = host.run(['sleep', mark], { signal: controller.signal, as });
        setTimeout(() => controller.abort(reason), 400);
        await expect(running).rejects.toBe(reason);
        expect(await alive(mark)).toEqual([]);
      }
      await expect(host.run(['true'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    });

    it('runs commands as others', async () => {
      const whoIs = async (as: Identity): Promise<string> =>
        (await host.run(['id', '-un'], { as })).stdout.trim();
      expect(await whoIs('login')).toBe(ground.user);
      expect(await whoIs('privileged')).toBe(ground.privileged ? 'root' : ground.user);
      expect(await whoIs({ user: ground.user })).toBe(ground.user);
      await fails(host.run(['id'], { as: { user: '-u root' } }), 'InvalidInput', /Not a user/);
      if (ground.other === undefined) {
        await fails(
          host.run(['id'], { as: { user: 'daemon' } }),
          'AuthFailed',
          /cannot run commands as daemon/,
        );
        return;
      }
      const as = { user: ground.other };
      expect(await whoIs(as)).toBe(ground.other);
      const script = 'printf "%s " "$HOME" "$USER" "$LOGNAME" "$PLANET"; cat';
      const { stdout } = await host.run(['bash', '-c', script], { as, stdin: 'in', env: { PLANET: 'a b' } });
      const home = await output('getent passwd "$1" | cut -d: -f6', ground.other);
      expect(stdout).toBe(`${home} ${ground.other} ${ground.other} a b in`);
      expect((await host.run(await host.argvAs(['id', '-un'], as))).stdout.trim()).toBe(ground.other);
    });

    it('feeds a command from a stream, for as long as both last', async () => {
      const pieces = (count: number) =>
        Readable.from(Array.from({ length: count }, () => Buffer.alloc(50_000, 'x')));
      const said = async (argv: string[], stdin: Readable) => {
        const stream = await host.stream(argv, { stdin });
        const text = await stream.stdout
          .toArray()
          .then((chunks) => Buffer.concat(chunks as Buffer[]).toString());
        return { text: text.trim(), ...(await stream.completed) };
      };
      expect(await said(['wc', '-c'], pieces(400))).toMatchObject({ text: '20000000', exitCode: 0 });
      const more = pieces(10_000);
      expect(await said(['head', '-c', '3'], more)).toMatchObject({ text: 'xxx', exitCode: 0 });
      await expect.poll(() => more.destroyed).toBe(true);
      const broken = Readable.from(
        (async function* () {
          yield await Promise.resolve('abc');
          throw new Error('it broke off');
        })(),
      );
      broken.on('error', () => undefined);
      await said(['cat'], broken).catch((error: unknown) => expect(error).toBeInstanceOf(Failure)); // and it ends
    });

    it('streams', async () => {
      const stream = await host.stream(['head', '-c', '50000000', '/dev/zero']);
      let bytes = 0;
      for await (const chunk of stream.stdout) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(50_000_000);
      expect(await stream.completed).toEqual({ exitCode: 0, stderr: '' });

      const mark = `33${Date.now()}`;
      const endless = await host.stream(['bash', '-c', `echo ready; echo why >&2; sleep ${mark}`]);
      await once(endless.stdout, 'data');
      endless.kill();
      expect((await endless.completed).exitCode).toBe(143);
      expect(await alive(mark)).toEqual([]);
    });

    it('puts files whole, with their mode', async () => {
      const path = `${(await host.facts()).folder}/new folder/it's a file`;
      const content = randomBytes(300_000);
      await host.putFile(path, content, 0o640);
      expect(
        await output('stat -c "%a %s" "$1"; base64 -w0 "$1" | md5sum; ls -A "$(dirname "$1")"', path),
      ).toBe(
        `640 300000\n${await output('md5sum', '').then(async () => (await host.run(['md5sum'], { stdin: content.toString('base64') })).stdout.trim())}\nit's a file`,
      );
      await host.putFile(path, 'short');
      expect(await output('stat -c %a "$1"; cat "$1"; rm -r "$(dirname "$1")"', path)).toBe('600\nshort');
      await fails(host.putFile('relative', ''), 'InvalidInput', /absolute/);
    });

    describe('jobs', () => {
      it('run to their end and tell how it was', async () => {
        const job = await start('echo "$WORDS"; pwd; echo err >&2; exit 7', { env: { WORDS: "it's" } });
        const ended = await over(job);
        expect(ended).toMatchObject({
          state: 'exited',
          exitCode: 7,
          stdoutTail: "it's\n/\n",
          stderrTail: 'err\n',
        });
        expect(ended).toMatchObject({ stdoutBytes: 7 });
        expect(await host.listJobs()).toContain(job.id);
        await job.forget();
        expect(await job.status()).toEqual({ state: 'absent' });
      });

      it('hand an argv over as it is, and need no shell', async () => {
        const hostile = ['', "'", '$HOME', '\n', '--', '-n', 'ünï🦣', '\\', 'a=b'];
        const job = await host.startJob(newId(), ['printf', '[%s]', ...hostile]);
        expect(await over(job)).toMatchObject({
          exitCode: 0,
          stdoutTail: hostile.map((word) => `[${word}]`).join(''),
        });
        const missing = await host.startJob(newId(), ['no-such-program-here']);
        expect(await over(missing)).toMatchObject({ state: 'exited', exitCode: 127 });
        await fails(host.startJob('../x', ['true']), 'InvalidInput', /id/);
        await fails(host.startJob('..', ['true']), 'InvalidInput', /id/);
      });

      it('are found by another worker, and go on without the first', async () => {
        const go = `${(await host.facts()).folder}/go`;
        const job = await start('echo one; until [ -e "$GO" ]; do sleep 0.1; done; echo two', {
          env: { GO: go },
        });
        await ground.cut?.(host);
        const second = ground.open();
        const found = second.job(job.id);
        expect(await found.status()).toMatchObject({ state: 'running' });
        await second.run(['touch', go]);
        expect((await over(found)).stdoutTail).toBe('one\ntwo\n');
        await second.close();
        expect(await job.status()).toMatchObject({ state: 'exited', exitCode: 0 });
        await host.run(['rm', go]);
      });

      it('run once, however often they are started', async () => {
        const file = `${(await host.facts()).folder}/ran`;
        const second = ground.open();
        const id = newId();
        const argv = ['bash', '-c', `echo ran >> ${file}; sleep 1`];
        await Promise.all([host, second, host, second, host].map((each) => each.startJob(id, argv)));
        await over(host.job(id));
        await host.startJob(id, argv);
        await second.close();
        expect(await output('cat "$1"; rm "$1"', file)).toBe('ran');
      });

      it('are launched by the next start when the first was killed half-way', async () => {
        const job = await start('echo done');
        await over(job);
        // As it is between the folder's making and its supervisor.
        const folder = `${(await host.facts()).folder}/jobs/${job.id}`;
        await output(
          'cd "$1" && rm -f launched exit stdout* && printf "    " > exit.new && : > stdout',
          folder,
        );
        expect(await job.status()).toEqual({ state: 'absent' });
        await host.startJob(job.id, ['true']);
        expect(await over(job)).toMatchObject({ exitCode: 0, stdoutTail: 'done\n' });
      });

      it('write stdout to a file of their own', async () => {
        const file = `${(await host.facts()).folder}/out put`;
        const job = await start('head -c 9000000 /dev/zero; echo err >&2', { stdoutFile: file });
        expect(await over(job)).toMatchObject({
          exitCode: 0,
          stdoutTail: '',
          stderrTail: 'err\n',
          stdoutBytes: 9_000_000,
        });
        expect(await output('stat -c "%s %a %U" "$1"; rm "$1"', file)).toBe(`9000000 600 ${ground.user}`);
      });

      it('keep the end of a long output, not all of it', async () => {
        const job = await start('seq 1 3000000; echo the end');
        const status = await over(job);
        expect(status.stdoutBytes).toBe(22_888_904);
        expect(status.stdoutTail).toMatch(/2999999\n3000000\nthe end\n$/);
        expect(Buffer.byteLength(status.stdoutTail)).toBe(4096);
        const folder = `${(await host.facts()).folder}/jobs/${job.id}`;
        expect(Number(await output('du -sb "$1" | cut -f1', folder))).toBeLessThan(9_000_000);
      });

      it('show their output while they run', async () => {
        const job = await start('printf "at once"; sleep 60');
        await until(async () => (await running(job)).stdoutTail === 'at once');
        await job.cancel();
      });

      it.concurrent('leave nothing behind when they are cancelled, whatever they started', async () => {
        const identities: Identity[] = ['login', 'privileged'];
        if (ground.other !== undefined) identities.push({ user: ground.other });
        await Promise.all(
          identities.map(async (as, i) => {
            const mark = `34${Date.now()}${i}`;
            const job = await start(stubborn(mark), { as });
            await until(async () => (await alive(mark)).length >= 6);
            await job.cancel();
            expect(await alive(mark)).toEqual([]);
            const ended = await over(job);
            expect(ended.state === 'exited' && ended.exitCode).toBeGreaterThan(128);
            expect(await alive(job.id)).toEqual([]);
            await job.cancel();
          }),
        );
      });

      it.concurrent('may clean up when they are cancelled', async () => {
        const job = await start('trap "echo cleaned; exit 5" TERM; echo ready; while :; do sleep 0.1; done');
        await until(async () => (await running(job)).stdoutTail !== '');
        await job.cancel();
        expect(await job.status()).toMatchObject({
          state: 'exited',
          exitCode: 5,
          stdoutTail: 'ready\ncleaned\n',
        });
      });

      it.concurrent('take what they left in the background with them', async () => {
        const mark = `35${Date.now()}`;
        const job = await start(`sleep ${mark} & setsid sleep ${mark} & echo started`);
        expect(await over(job)).toMatchObject({ exitCode: 0, stdoutTail: 'started\n' });
        await until(async () => (await alive(mark)).length === 0);
      });

      it.concurrent('are lost when their supervisor is killed, and nothing of them runs on', async () => {
        const mark = `36${Date.now()}`;
        const job = await start(`sleep ${mark}`);
        await until(async () => (await alive(mark)).length > 0);
        await fails(job.forget(), 'CommandFailed', /still runs/);
        await output(
          'kill -9 "$(cut -d" " -f1 "$1")"',
          `${(await host.facts()).folder}/jobs/${job.id}/launched`,
        );
        await until(async () => (await job.status()).state === 'lost');
        expect(await alive(mark)).toEqual([]);
        await job.forget();
        expect(await job.status()).toEqual({ state: 'absent' });
      });

      it('of an earlier boot are lost, and their pids are nobody', async () => {
        const job = await start('sleep 60');
        const file = `${(await host.facts()).folder}/jobs/${job.id}/launched`;
        await output('sed -i "s/ [0-9a-f-]\\{36\\} / 00000000-0000-0000-0000-000000000000 /" "$1"', file);
        expect(await job.status()).toMatchObject({ state: 'lost' });
      });

      it('that never were can be cancelled and forgotten', async () => {
        const job = host.job(newId());
        await job.cancel();
        await job.forget();
        expect(await job.status()).toEqual({ state: 'absent' });
      });
    });
  });
}

/** Forks, forks twice, leaves the session, clears its environment, ignores TERM. */
function stubborn(mark: string): string {
  const deaf = `trap '' TERM HUP INT; sleep ${mark}; sleep ${mark}`;
  return `
    trap '' TERM HUP INT
    bash -c "${deaf}" &
    setsid bash -c "${deaf}" &
    (setsid bash -c "${deaf}; true" &) &
    (env -i PATH="$PATH" setsid bash -c "${deaf}; true" < /dev/null > /dev/null 2>&1 &)
    ${deaf}`;
}

async function over(job: Job): Promise<Exclude<JobStatus, { state: 'absent' | 'running' }>> {
  for (;;) {
    const status = await job.status();
    if (status.state === 'exited' || status.state === 'lost') return status;
    if (status.state === 'absent') throw new Error(`job ${job.id} is not there`);
    await sleep(100);
  }
}

async function running(job: Job): Promise<Extract<JobStatus, { state: 'running' }>> {
  const status = await job.status();
  if (status.state !== 'running') throw new Error(`job ${job.id} is ${JSON.stringify(status)}`);
  return status;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (await condition()) return;
    await sleep(100);
  }
  throw new Error(`never came true: ${condition.toString()}`);
}

export async function fails(action: Promise<unknown>, type: FailureType, message: RegExp): Promise<Failure> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Failure);
  expect((error as Failure).message).toMatch(message);
  expect((error as Failure).type).toBe(type);
  return error as Failure;
}
