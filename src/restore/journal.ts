import { z } from 'zod';
import { backupIdPattern } from '../backups/id.js';
import { partNames } from '../backups/parts.js';
import { Failure } from '../errors.js';
import type { Host, Identity } from '../hosts/host.js';
import { whoReplaces } from './who.js';

/** Which restore, and where: all that is needed to find its journal, `<host folder>/undo/<domain>/<restore>/` (0700). */
export interface JournalRef {
  readonly host: Host;
  readonly domain: string;
  /** Of the restore. */
  readonly restore: string;
}

const access = z.object({
  database: z.object({
    ...{ host: z.string(), port: z.number(), name: z.string(), user: z.string() },
    ...{ password: z.string().exactOptional(), sslmode: z.string(), pooled: z.boolean() },
  }),
  ...{ appUser: z.string(), binDir: z.string() },
});
export const adminSchema = z.object({ access, superuser: z.boolean() });

const redis = z.object({
  ...{ host: z.string(), port: z.number(), database: z.number(), tls: z.boolean() },
  ...{ user: z.string().exactOptional(), password: z.string().exactOptional() },
});

const stepSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('file'),
    /** Without links. */
    path: z.string(),
    put: z.boolean(),
    ...{ mode: z.string(), owner: z.string(), group: z.string() },
  }),
  z.object({ kind: z.literal('link'), path: z.string(), to: z.string() }),
  z.object({ kind: z.literal('daemon-reload') }),
  z.object({ kind: z.literal('enable'), units: z.array(z.string()) }),
  z.object({ kind: z.literal('disable'), units: z.array(z.string()) }),
  /** Folders that a restore had to make, as far as they are empty. */
  z.object({ kind: z.literal('rmdir'), folders: z.array(z.string()) }),
  z.object({ kind: z.literal('nginx'), putBack: z.array(z.number()) }),
  z.object({ kind: z.literal('sql'), forward: z.string(), back: z.string() }),
  z.object({ kind: z.literal('redis') }),
  z.object({
    kind: z.literal('database'),
    ...{ name: z.string(), beside: z.string(), aside: z.string() },
    /** 0: there is none. */
    ...{ newOid: z.string(), oldOid: z.string() },
  }),
  z.object({ kind: z.literal('cache'), pattern: z.string() }),
]);
export type SwapStep = z.infer<typeof stepSchema>;

const planSchema = z.object({
  ...{ restore: z.string(), domain: z.string(), backup: z.string(), parts: z.array(z.enum(partNames)) },
  madeAt: z.iso.datetime(),
  /** Something of the instance was there before. */
  inPlace: z.boolean(),
  /** How often it was prepared: each has a job of its own. */
  attempt: z.number(),
  undoUntil: z.iso.datetime().nullable(),
  /** What it does, a line each. */
  lines: z.array(z.string()),
  warnings: z.array(z.string()),
  steps: z.array(stepSchema),
  admin: adminSchema.nullable(),
  /** What the server may take instead of the administrator's password, before or after a step. */
  otherPassword: z.string().exactOptional(),
  /** Who runs redis-cli. */
  appUser: z.string(),
  redis: redis.nullable(),
  cache: redis.nullable(),
});
/** All that a swap does: what `swap.sh` is told. Holds secrets: never log it whole. */
export type SwapPlan = z.infer<typeof planSchema>;

/** What a load beside the old database has made: known before it is made, so that it can be removed. */
const besideSchema = z.object({
  name: z.string(),
  admin: adminSchema,
  lent: z.object({ user: z.string().nullable(), folders: z.array(z.string()), keys: z.string().nullable() }),
  /** Roles that were missing. */
  roles: z.array(z.string()),
});
export type BesideNote = z.infer<typeof besideSchema>;

/** The journals of an instance on a host, and the script that knows them. */
export async function journalsFolder(host: Host, domain: string): Promise<string> {
  if (!/^[\w.-]+$/.test(domain) || domain.startsWith('.'))
    throw new Failure('InvalidInput', `Not a domain: ${JSON.stringify(domain.slice(0, 80))}.`);
  return `${(await host.facts()).folder}/undo/${domain}`;
}

/** A journal: of a restore, or of its undo, which lies in it. */
export class Journal {
  private constructor(
    readonly host: Host,
    readonly folder: string,
    /** Who reads and writes what the script has left. */
    readonly as: Identity,
  ) {}

  static async of(
    { host, domain, restore }: JournalRef,
    which: 'restore' | 'undo' = 'restore',
  ): Promise<Journal> {
    if (!backupIdPattern.test(restore))
      throw new Failure('InvalidInput', `Not a restore's id: ${JSON.stringify(restore.slice(0, 80))}.`);
    const folder = `${await journalsFolder(host, domain)}/${restore}`;
    return new Journal(host, which === 'undo' ? `${folder}/undo` : folder, await whoReplaces(host));
  }

  plan(): Promise<SwapPlan | null> {
    return this.#read('plan.json', planSchema);
  }

  beside(): Promise<BesideNote | null> {
    return this.#read('beside.json', besideSchema);
  }

  /** What was begun and done, as `swap-script.ts` says. */
  async lines(): Promise<ReadonlySet<string>> {
    return new Set((await this.text('journal')).split('\n').slice(0, -1));
  }

  /** '' for a file that is not there. */
  async text(name: string): Promise<string> {
    const { stdout } = await this.host.run(
      ['sh', '-c', '[ ! -f "$1" ] || cat -- "$1"', 'sh', `${this.folder}/${name}`],
      {
        as: this.as,
      },
    );
    return stdout;
  }

  async make(): Promise<void> {
    await this.host.run(['mkdir', '-p', '-m', '700', '--', this.folder]);
  }

  async write(name: string, content: string): Promise<void> {
    await this.host.putFile(`${this.folder}/${name}`, content, 0o600);
  }

  async noteBeside(note: BesideNote): Promise<void> {
    await this.make();
    await this.write('beside.json', `${JSON.stringify(note)}\n`);
  }

  async remove(...names: string[]): Promise<void> {
    await this.host.run(['rm', '-rf', '--', ...names.map((name) => `${this.folder}/${name}`)], {
      as: this.as,
      timeoutMs: 600_000,
    });
  }

  /** The folder and all that is in it; with the last one of the instance, the script too. */
  async removeAll(): Promise<void> {
    const script = `rm -rf -- "$1" && cd -- "$(dirname -- "$1")" 2> /dev/null || exit 0
[ -f swap.sh ] && [ "$(ls -A)" = swap.sh ] || exit 0
rm -f swap.sh; rmdir -- "$PWD" "$(dirname -- "$PWD")" 2> /dev/null; :`;
    await this.host.run(['sh', '-c', script, 'sh', this.folder], { as: this.as, timeoutMs: 600_000 });
  }

  /** @throws Failure `Unexpected` when it is there and cannot be read. */
  async #read<T>(name: string, schema: z.ZodType<T>): Promise<T | null> {
    const text = await this.text(name);
    if (text === '') return null;
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      throw new Failure(
        'Unexpected',
        `${this.folder}/${name} on ${this.host.name} is not what it should be`,
        {
          host: this.host.name,
          next: 'it was written by another version of Permafrost, or changed by hand: use the version that made it',
          cause: error,
        },
      );
    }
  }
}

export type SwapState = 'none' | 'prepared' | 'half' | 'whole' | 'taken back';

/** How far a swap is, by its journal. Pure. */
export function stateOf(prepared: boolean, lines: ReadonlySet<string>): SwapState {
  if (lines.has('as before')) return 'taken back';
  if (lines.has('back')) return 'half';
  if (lines.has('whole')) return 'whole';
  if (lines.has('forward')) return 'half';
  return prepared ? 'prepared' : 'none';
}

/** The steps and argvs of a plan as `swap.sh` reads them. */
export function stepsFile(plan: SwapPlan, argvs: Readonly<Record<string, readonly string[]>>): string {
  const record = (kind: string, words: readonly string[]) => [kind, String(words.length), ...words];
  return [
    ...Object.entries(argvs).flatMap(([kind, words]) => record(kind, words)),
    ...plan.steps.flatMap((step) => record(step.kind, wordsOf(step))),
  ]
    .map((word) => `${word}\0`)
    .join('');
}

function wordsOf(step: SwapStep): string[] {
  switch (step.kind) {
    case 'file':
      return [step.path, step.put ? 'put' : 'remove', step.mode, step.owner, step.group];
    case 'link':
      return [step.path, step.to];
    case 'enable':
    case 'disable':
      return step.units;
    case 'rmdir':
      return step.folders;
    case 'nginx':
      return step.putBack.map(String);
    case 'database':
      return [step.name, step.beside, step.aside, step.newOid, step.oldOid];
    case 'cache':
      return [step.pattern];
    case 'daemon-reload':
    case 'sql':
    case 'redis':
      return [];
  }
}
