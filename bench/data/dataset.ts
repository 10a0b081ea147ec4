import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { SampleInstance } from '../../sample/instance.js';
import {
  aroundAccounts,
  aroundStatuses,
  changes,
  dropIndexes,
  makeIndexes,
  unchecked,
  type Where,
} from './derived.js';
import { Dice } from './dice.js';
import { writeAttachments } from './media.js';
import { Population, type Size } from './population.js';
import { accountRows, attachmentRows, type Cast, statusRows } from './rows.js';
import { Words } from './words.js';

/** What a night brings besides its changes, as shares of what there was at first. */
const nightly = { statuses: 0.01, accounts: 0.01, attachments: 0.005 };

const recordSchema = z.object({
  size: z.object({
    statuses: z.number(),
    accounts: z.number(),
    attachments: z.number(),
    mediaBytes: z.number(),
  }),
  /** Nights that have changed it since it was made. */
  nights: z.number(),
});

/** What a data set came out as. */
export interface Measured {
  readonly databaseBytes: number;
  readonly statuses: number;
  readonly tables: number;
  readonly indexes: number;
}

/** The big instance: the sample's own small one, and on top of it as much as was asked for. */
export class Dataset {
  readonly size: Size;
  #nights: number;
  readonly #instance: SampleInstance;
  readonly #population: Population;

  private constructor(instance: SampleInstance, record: z.infer<typeof recordSchema>) {
    this.size = record.size;
    this.#nights = record.nights;
    this.#instance = instance;
    this.#population = new Population(record.size);
  }

  /** What was made in this folder before, if it is whole. */
  static async sizeIn(folder: string): Promise<Size | undefined> {
    const file = recordFile(folder);
    if (!existsSync(file)) return undefined;
    return recordSchema.parse(JSON.parse(await readFile(file, 'utf8'))).size;
  }

  static async open(folder: string, instance: SampleInstance): Promise<Dataset> {
    const record = recordSchema.parse(JSON.parse(await readFile(recordFile(folder), 'utf8')));
    return new Dataset(instance, record);
  }

  /** Fills a new instance. @param say hears what is being made. */
  static async make(
    folder: string,
    instance: SampleInstance,
    size: Size,
    say: (text: string) => void,
  ): Promise<Dataset> {
    const made = new Dataset(instance, { size, nights: 0 });
    say('media files');
    const media = await writeAttachments(
      made.#population,
      { first: 0, count: size.attachments },
      made.#system,
    );
    const cast = made.#cast('base', { first: 0, count: size.accounts });
    say('rows');
    await made.#sql(function* () {
      yield unchecked + dropIndexes;
      yield* accountRows(cast, { first: 0, count: size.accounts });
      yield* statusRows(cast, { first: 0, count: size.statuses });
      yield* attachmentRows(cast, media);
      yield 'ANALYZE;\n';
      yield aroundStatuses(made.#population.statusId(0));
      yield aroundAccounts(made.#population.accountId(0));
    });
    say('indexes');
    await made.#sql([unchecked, makeIndexes]);
    await made.#keep(folder);
    return made;
  }

  /** A day's use: rows that change, new ones, new files. */
  async liveADay(folder: string): Promise<void> {
    const { size } = this;
    const night = this.#nights;
    const stretch = (kind: keyof typeof nightly) => {
      const count = Math.ceil(size[kind] * nightly[kind]);
      return { first: size[kind] + night * count, count };
    };
    const where: Where = night % 2 === 0 ? 'mostly new' : 'everywhere';
    const [accounts, statuses] = [stretch('accounts'), stretch('statuses')];
    const media = await writeAttachments(this.#population, stretch('attachments'), this.#system);
    const cast = this.#cast(`night ${String(night)}`, { first: 0, count: accounts.first + accounts.count });
    const population = this.#population;
    await this.#sql(function* () {
      yield unchecked + changes(where);
      yield* accountRows(cast, accounts);
      yield* statusRows(cast, statuses);
      yield* attachmentRows(cast, media);
      yield aroundStatuses(population.statusId(statuses.first));
      yield aroundAccounts(population.accountId(accounts.first));
      yield 'CHECKPOINT;\n';
    });
    this.#nights += 1;
    await this.#keep(folder);
  }

  async measure(): Promise<Measured> {
    const answer = await this.#instance.servers.postgres.sql(
      this.#instance.database.name,
      `SELECT pg_database_size(current_database()), (SELECT count(*) FROM statuses),
         (SELECT count(*) FROM pg_tables WHERE schemaname = 'public'),
         (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public');`,
    );
    const [databaseBytes = 0, statuses = 0, tables = 0, indexes = 0] = answer.split('|').map(Number);
    return { databaseBytes, statuses, tables, indexes };
  }

  get #system(): string {
    return join(this.#instance.root, 'public', 'system');
  }

  #cast(seed: string, accounts: Cast['accounts']): Cast {
    const dice = new Dice(seed);
    return {
      ...{ population: this.#population, domain: this.#instance.domain, dice, accounts },
      words: new Words(dice),
      locals: this.#instance.data.accounts.flatMap(({ id, userId }) => (userId === undefined ? [] : [id])),
    };
  }

  async #sql(lines: Iterable<string> | (() => Iterable<string>)): Promise<void> {
    const { postgres } = this.#instance.servers;
    const text = typeof lines === 'function' ? lines() : lines;
    await postgres.sql(this.#instance.database.name, asynchronous(text));
  }

  async #keep(folder: string): Promise<void> {
    await writeFile(recordFile(folder), `${JSON.stringify({ size: this.size, nights: this.#nights })}\n`);
  }
}

function recordFile(folder: string): string {
  return join(folder, 'dataset.json');
}

async function* asynchronous(lines: Iterable<string>): AsyncIterable<string> {
  yield* lines;
}
