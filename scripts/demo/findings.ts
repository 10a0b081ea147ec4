import { join } from 'node:path';
import { z } from 'zod';
import type { SampleInstance } from '../../sample/instance.js';
import type { AcknowledgedPost, Writer } from '../../sample/writer.js';
import { leaseState } from '../../src/hosts/lease.js';
import { localHost } from '../../src/hosts/local.js';
import { formatCount, formatNumber } from '../../src/terminal/format.js';
import { manifestOf, recoverPosts } from './copy.js';
import type { Narrator } from './narrator.js';
import { acknowledgedPosts } from './posts.js';
import type { Stage } from './stage.js';
import type { CutNight } from './story.js';

const listSchema = z.array(z.object({ backup: z.string(), offsites: z.array(z.string()) }));
const statusSchema = z.object({
  services: z.array(z.object({ name: z.string(), running: z.boolean() })),
  running: z.array(z.unknown()),
});

/** Posts that have to be acknowledged before the web service counts as in use again. */
const POSTS = 10;

/** What is looked at when both nights are over. Each finding is something that a person could look at too. */
export class Findings {
  good = true;
  readonly #stage: Stage;
  readonly #narrator: Narrator;

  constructor(stage: Stage, narrator: Narrator) {
    this.#stage = stage;
    this.#narrator = narrator;
  }

  tell(good: boolean, text: string): void {
    this.#narrator.finding(good, text);
    this.good &&= good;
  }

  aboutCutNight({ exitCode, report, workflowId, openAgain }: CutNight): void {
    const same = openAgain && report.workflowId === workflowId;
    this.tell(
      exitCode === 0 && report.status === 'sealed' && same,
      `so is the night that was cut off: the same run went on (${workflowId})`,
    );
    this.tell(report.services === 'up', 'it ended with the services up');
  }

  async aboutInstance({ healthUrl }: SampleInstance, writer: Writer): Promise<void> {
    const status = statusSchema.safeParse(await this.#ask('status'));
    const services = status.data?.services ?? [];
    const running = services.filter((service) => service.running).map(({ name }) => name);
    this.tell(
      services.length === 3 && running.length === 3,
      `permafrost status: ${running.join(', ') || 'nothing'} running`,
    );
    const health = await fetch(healthUrl).then(
      (answer) => answer.status,
      () => 0,
    );
    this.tell(health === 200, `${healthUrl} answers ${String(health)}`);
    const before = writer.counts().posted;
    await this.#narrator.patiently(Promise.race([writer.more(POSTS), patience()]));
    const more = writer.counts().posted - before;
    this.tell(more >= POSTS, `${formatCount(more, 'more post')} acknowledged just now`);
  }

  async aboutBackups(): Promise<void> {
    const list = listSchema.safeParse(await this.#ask('list')).data ?? [];
    const sealed = list.filter(({ offsites }) => offsites.includes('vault'));
    this.tell(sealed.length === 2, `${formatCount(sealed.length, 'sealed backup')} in the vault`);
  }

  /** Every post acknowledged before the moment is in the copy, with its picture; none that came after it is. */
  async aboutPosts(pgRestore: string): Promise<void> {
    const { repository, passwordFile, folder, posts: log } = this.#stage;
    const manifest = manifestOf(await this.#ask('show', 'latest'));
    const vault = { repository, passwordFile, pgRestore, scratch: join(folder, 'recovered') };
    const recovered = await this.#narrator.alive(
      recoverPosts(vault, manifest),
      () => '  fetching the newest backup with the plain tools',
    );
    const posts = await acknowledgedPosts(log);
    const at = Date.parse(manifest.moment?.at ?? '');
    const before = posts.filter(({ ackedAt }) => Date.parse(ackedAt) <= at);
    const after = posts.filter(({ ackedAt }) => Date.parse(ackedAt) > at);
    const inCopy = ({ id }: AcknowledgedPost) => recovered.statuses.has(id);
    const lost = before.filter((post) => !inCopy(post)).length;
    const early = after.filter(inCopy).length;
    this.tell(
      before.length > 0 && lost === 0,
      `got back with ${manifest.database?.delta === undefined ? 'restic' : 'restic, rdiff'} and pg_restore: ${formatNumber(before.length - lost)} of the ` +
        `${formatCount(before.length, 'post')} acknowledged before its moment`,
    );
    this.tell(
      after.length > 0 && early === 0,
      `and ${early === 0 ? 'none' : String(early)} of the ${formatCount(after.length, 'post')} that came after it`,
    );
    const pictures = before.flatMap(({ mediaUrl }) => (mediaUrl === undefined ? [] : [mediaUrl]));
    const there = pictures.filter((url) => recovered.hasPicture(url)).length;
    this.tell(
      pictures.length > 0 && there === pictures.length,
      `with ${String(there)} of their ${formatCount(pictures.length, 'picture')}`,
    );
  }

  async aboutHost(): Promise<void> {
    const host = localHost({ folder: join(this.#stage.state, 'host') });
    try {
      const jobs = await host.listJobs();
      const { held } = await leaseState(host, this.#stage.domain);
      this.tell(jobs.length === 0 && !held, 'no job and no lease is left on the host');
    } finally {
      await host.close();
    }
  }

  #ask(...words: readonly string[]): Promise<unknown> {
    return this.#narrator.patiently(this.#stage.permafrost.ask(...words));
  }
}

/** A service that does not answer within this is down. */
function patience(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 15_000).unref());
}
