import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { SampleInstance } from '../../sample/instance.js';
import type { Writer } from '../../sample/writer.js';
import type { BackupReport } from '../../src/backups/report.js';
import { formatBytes, formatDuration, formatNumber } from '../../src/terminal/format.js';
import { Findings } from './findings.js';
import type { Narrator } from './narrator.js';
import { watchedNight } from './night.js';
import { noticedSince } from './posts.js';
import type { Stage } from './stage.js';

/** How long nobody notices that the machine is gone. Milliseconds. */
const UNNOTICED_MS = 2_000;

/** What `policies.transfer` grants a silent worker, in words. */
const SILENCE = '30 s';

/** Plays the demo. @returns whether everything was as it was promised. */
export async function play(stage: Stage, narrator: Narrator): Promise<{ good: boolean; ui: string }> {
  narrator.title('Permafrost: the demo');
  narrator.say(
    'A small Mastodon is made on this machine and used all the time. It is backed up, and backed up again ' +
      'while Permafrost and its Temporal server are killed in the middle. Then we look whether anything is lost. ' +
      `Everything lives in ${stage.folder}.`,
  );
  narrator.chapter('A Mastodon that is in use');
  const instance = await narrator.during(
    'PostgreSQL, Redis, web, sidekiq and streaming',
    stage.openInstance(),
  );
  const writer = stage.startWriter(instance);
  await stage.configure(instance);
  tellInstance(narrator, instance);

  narrator.chapter('Permafrost');
  narrator.command('permafrost up');
  const up = await narrator.during('Temporal server, worker and UI', stage.up());
  narrator.say(`Temporal's UI: ${up.ui}`);
  narrator.command('permafrost offsite init');
  const created = await narrator.patiently(stage.permafrost.run(['offsite', 'init'], { shown: true }));

  narrator.chapter('One night');
  const since = new Date();
  narrator.command('permafrost backup');
  const first = await narrator.patiently(stage.permafrost.run(['backup'], { shown: true }));
  await tellWriter(stage, narrator, writer, since);

  narrator.chapter('A second night, with an accident');
  const second = await cutNight(stage, narrator, writer);

  narrator.chapter('What is there now');
  narrator.command('permafrost list');
  await narrator.patiently(stage.permafrost.run(['list'], { shown: true }));
  narrator.say('');
  const findings = new Findings(stage, narrator);
  findings.tell(created.exitCode === 0 && first.exitCode === 0, 'the first night is sealed');
  findings.aboutCutNight(second);
  await findings.aboutInstance(instance, writer);
  await findings.aboutBackups();
  await writer.stop();
  await findings.aboutPosts(join(instance.servers.postgres.binaries, 'pg_restore'));
  await findings.aboutHost();
  return { good: findings.good, ui: second.ui };
}

function tellInstance(narrator: Narrator, { domain, data, url }: SampleInstance): void {
  const files = data.files;
  const bytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  narrator.say(
    `${domain} at ${url}: ${formatNumber(data.size.statuses)} statuses, ` +
      `${formatNumber(files.length)} media files (${formatBytes(bytes)}). ` +
      'Somebody posts there about twenty times a second, every third time with a picture.',
  );
}

async function tellWriter(stage: Stage, narrator: Narrator, writer: Writer, since: Date): Promise<void> {
  await narrator.patiently(writer.more(1));
  const { posted, longestGapMs } = await noticedSince(stage.posts, since);
  narrator.say(
    '',
    `What the writer noticed: ${formatNumber(posted)} posts acknowledged meanwhile; the longest ` +
      `it had to wait for one was ${formatDuration(longestGapMs)}.`,
  );
}

/** A night in whose middle the worker and the Temporal server are killed. */
export interface CutNight {
  exitCode: number;
  report: Partial<BackupReport>;
  /** The run that was open when that happened. */
  workflowId: string;
  /** Whether it was open when Temporal was back. */
  openAgain: boolean;
  /** Of the Temporal server that was started afterwards. */
  ui: string;
}

async function cutNight(stage: Stage, narrator: Narrator, writer: Writer): Promise<CutNight> {
  const since = new Date();
  narrator.command('permafrost backup');
  const night = watchedNight(stage.permafrost, (line) => narrator.progress(line));
  await narrator.patiently(night.inPhase('upload'));
  const workflowId = await night.workflowId;
  await cutThePower(stage, narrator);
  narrator.command('permafrost up');
  const again = await narrator.during('Temporal server and worker, with what was on disk', stage.up());
  const openAgain = (await narrator.patiently(openRuns(stage))).includes(workflowId);
  narrator.say(
    openAgain
      ? `The run is open, as it was. Temporal gives a worker that falls silent ${SILENCE}, then hands its step to ` +
          'the next one, which finds on the host what its job has done meanwhile.'
      : 'The run is NOT open any more.',
    '',
  );
  const { exitCode, report } = await narrator.alive(
    night.ended,
    (ms) => `  ${formatDuration(ms)}, and ${formatNumber(writer.counts().posted)} posts acknowledged so far`,
  );
  tellReport(narrator, report);
  await tellWriter(stage, narrator, writer, since);
  return { exitCode, report, workflowId, openAgain, ui: again.ui };
}

async function cutThePower(stage: Stage, narrator: Narrator): Promise<void> {
  const up = await stage.running();
  const { worker, server } = up.processes;
  await up.kill();
  narrator.say('');
  narrator.shout(
    `In the middle of the upload: kill -9 of the worker (${String(worker)}) and of the Temporal server (${String(server)}).`,
  );
  narrator.say('The instance needs neither of them: the writer goes on, and so does the job that uploads.');
  await narrator.patiently(sleep(UNNOTICED_MS));
}

const openSchema = z.object({ running: z.array(z.object({ workflowId: z.string() })) });

/** Ids of the runs that `permafrost status` tells of. */
async function openRuns({ permafrost }: Stage): Promise<string[]> {
  const { data } = openSchema.safeParse(await permafrost.ask('status'));
  return (data?.running ?? []).map(({ workflowId }) => workflowId);
}

function tellReport(
  narrator: Narrator,
  { backup, status, downtimeMs, offsites, error }: Partial<BackupReport>,
): void {
  const checked = offsites?.[0]?.checked;
  const readBack =
    checked === undefined
      ? ''
      : ` ${formatNumber(checked.files)} files (${formatBytes(checked.bytes)}) were read back from it.`;
  const why = error === undefined ? '' : ` ${error.message}.`;
  narrator.say(
    '',
    `Backup ${backup ?? '(none)'}: ${status ?? 'failed'}; downtime ${formatDuration(downtimeMs ?? 0)}.${readBack}${why}`,
  );
}
