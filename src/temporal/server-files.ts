import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { type Tool, toolPath } from '../hosts/tools.js';

/** The server writes warnings alone; this is months of them. Twice as much is kept. */
const LOG_LIMIT_BYTES = 4 * 1024 * 1024;

/** A schedule as its operator left it on the server before. */
const carriedSchedule = z.object({
  scheduleId: z.string(),
  paused: z.boolean(),
  note: z.string().optional(),
  /** Made by Permafrost from its configuration. */
  ours: z.boolean(),
});

const made = z.object({ version: z.string(), binary: z.string(), sha256: z.string() });
const furnishing = z.object({ version: z.string(), schedules: z.array(carriedSchedule) });

export type CarriedSchedule = z.infer<typeof carriedSchedule>;

/** Which Temporal CLI made the database: where it was then, and the sha256 that it had. */
export type MadeBy = z.infer<typeof made>;

/** What a fresh database of a version has to be furnished with. */
export type Furnishing = z.infer<typeof furnishing>;

/**
 * What the embedded server keeps below `<state>/temporal` (0700):
 *
 *     current.json          the Temporal version that made the database
 *     database/temporal.db  (and SQLite's -wal and -shm)
 *     furnish.json          what a fresh database has to be furnished with; gone when that is done
 *     old/<version>-<time>/ databases of former versions
 *     server.log            and server.log.1
 */
export class ServerFiles {
  readonly database: string;
  readonly logFile: string;
  readonly home: string;

  constructor(readonly folder: string) {
    this.database = join(folder, 'database', 'temporal.db');
    this.logFile = join(folder, 'server.log');
    this.home = join(folder, 'home');
  }

  async makeFolders(): Promise<void> {
    for (const folder of [dirname(this.folder), this.folder, dirname(this.database), this.home]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
    }
  }

  hasDatabase(): boolean {
    return existsSync(this.database);
  }

  /** Undefined when it is not known. */
  madeBy(): Promise<MadeBy | undefined> {
    return readAs(join(this.folder, 'current.json'), made);
  }

  writeMadeBy({ version, path: binary, sha256 }: Tool): Promise<void> {
    return writeWhole(join(this.folder, 'current.json'), { version, binary, sha256 });
  }

  /** Undefined when nothing is left to be done. */
  furnishing(): Promise<Furnishing | undefined> {
    return readAs(join(this.folder, 'furnish.json'), furnishing);
  }

  writeFurnishing(wanted: Furnishing): Promise<void> {
    return writeWhole(join(this.folder, 'furnish.json'), wanted);
  }

  clearFurnishing(): Promise<void> {
    return rm(join(this.folder, 'furnish.json'), { force: true });
  }

  /** Moves the database, which no server may hold, to `old/`. Returns where it is then. */
  async setAside(version: string): Promise<string> {
    const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
    const kept = join(this.folder, 'old', `${version}-${time}`);
    await mkdir(dirname(kept), { recursive: true, mode: 0o700 });
    await rename(dirname(this.database), kept);
    await this.makeFolders();
    return kept;
  }

  /** Keeps the server's log bounded. The server appends, so it goes on at the start of the emptied file. */
  async boundLog(): Promise<void> {
    const size = await stat(this.logFile).then(
      (stats) => stats.size,
      () => 0,
    );
    if (size < LOG_LIMIT_BYTES) return;
    await copyFile(this.logFile, `${this.logFile}.1`);
    await truncate(this.logFile, 0);
  }
}

/**
 * The program that made a database: where it was then, else the set-up's own of that version. Undefined when it is gone,
 * or when another program is at its place now.
 */
export async function findFormerTool(former: MadeBy): Promise<Tool | undefined> {
  const { version, binary, sha256 } = former;
  for (const path of [binary, setupsOwn(version)]) {
    if (path !== undefined && existsSync(path) && (await sha256Of(path)) === sha256)
      return { version, path, sha256 };
  }
  return undefined;
}

function setupsOwn(version: string): string | undefined {
  try {
    return toolPath('temporal', version).path;
  } catch {
    return undefined;
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function readAs<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

async function writeWhole(path: string, content: unknown): Promise<void> {
  await writeFile(`${path}.tmp`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.tmp`, path);
}
