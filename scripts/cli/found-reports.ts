import { z } from 'zod';
import type { BackupId } from '../../src/backups/id.js';
import type { Configuration, InstanceConfig } from '../../src/config/configuration.js';
import { Failure } from '../../src/errors.js';
import { pageOf, type ReportGiven, reportName } from '../../src/reports/page-of.js';
import type { Offsite } from '../../src/offsite/offsite.js';
import { offsiteOf, withOffsite } from '../../src/offsite/read.js';
import { present } from '../../src/present.js';
import {
  readReport,
  reportNamePattern,
  reportNames,
  reportsFolder,
  reportUrl,
  writeReport,
} from '../../src/records/reports.js';

/** A report as it is listed. */
export interface FoundReport {
  readonly name: string;
  readonly kind: string;
  /** `passed`, `findings`, `restored`, … */
  readonly status: string;
  readonly backup?: string;
  /** The off-site. */
  readonly from?: string;
  readonly finishedAt?: string;
  /** Its page on this machine. */
  readonly file: string;
  readonly url?: string;
}

/** Of a report what a list shows: fields of later versions are let pass. */
const listed = z.looseObject({
  status: z.string(),
  backup: z.string().optional(),
  from: z.string().optional(),
  finishedAt: z.string().optional(),
});

/** The reports of this machine, the newest first. */
export async function reportsHere(
  configuration: Configuration,
  { domain }: InstanceConfig,
): Promise<FoundReport[]> {
  const names = await reportNames(configuration.state, domain);
  return Promise.all(names.map((name) => describe(configuration, domain, name)));
}

/**
 * One report, by its name; when this machine does not have it, it is looked for beside the backups and kept here.
 *
 * @throws Failure `NotFound` when nobody has it.
 */
export async function oneReport(
  configuration: Configuration,
  instance: InstanceConfig,
  name: string,
): Promise<{ found: FoundReport; report: unknown }> {
  const { state } = configuration;
  const { domain } = instance;
  const here = (await readReport(state, domain, name, 'html')) !== undefined;
  const problems = here ? [] : await fetchReports(configuration, instance, name);
  const json = await readReport(state, domain, name, 'json');
  if (json === undefined) {
    const unread = problems.length === 0 ? '' : ` (${problems.join('; ')})`;
    throw new Failure(
      'NotFound',
      `there is no report ${name} of ${domain}, here or beside a backup${unread}`,
      {
        next: `see which there are: permafrost report ${domain}`,
      },
    );
  }
  return { found: await describe(configuration, domain, name), report: JSON.parse(json) as unknown };
}

/**
 * Fetches reports from beside the backups to this machine: that of a name, or all of the newest backups.
 *
 * @returns off-sites that could not be asked, with the reason.
 */
export async function fetchReports(
  configuration: Configuration,
  instance: InstanceConfig,
  name?: string,
): Promise<string[]> {
  const problems: string[] = [];
  for (const offsiteName of instance.offsites) {
    try {
      const config = offsiteOf(configuration, offsiteName);
      const found = await withOffsite(
        configuration,
        instance,
        config,
        (offsite) => fetchFrom(offsite, configuration.state, instance.domain, name),
        'report',
      );
      if (name !== undefined && found > 0) break;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      problems.push(`${offsiteName}: ${error.message}`);
    }
  }
  return problems;
}

/** A year of monthly drills, each of the newest backup then, has as many; each look is a command there. */
const newestBackups = 24;

/** @returns how many were found. */
async function fetchFrom(
  offsite: Offsite,
  state: string,
  domain: string,
  wanted: string | undefined,
): Promise<number> {
  let found = 0;
  const { sealed } = await offsite.list();
  for (const { backup } of wanted === undefined ? sealed.slice(0, newestBackups) : sealed) {
    for (const name of reportsIn(await offsite.listAttached(backup))) {
      if (wanted !== undefined && name !== wanted) continue;
      await fetchOne(offsite, backup, { state, domain, name });
      found += 1;
    }
    if (wanted !== undefined && found > 0) break;
  }
  return found;
}

async function fetchOne(
  offsite: Offsite,
  backup: BackupId,
  { state, domain, name }: { state: string; domain: string; name: string },
): Promise<void> {
  const json = await offsite.readAttached(backup, `${name}.json`);
  await writeReport(state, domain, name, {
    html: pageAnew(json, { domain, name, from: offsite.name }),
    json,
  });
}

/**
 * The page, made here of what the report says: whoever can write to an off-site could have put any page there.
 *
 * @throws Failure `NotRestorable` for one that is no report.
 */
function pageAnew(
  json: string,
  { domain, name, from }: { domain: string; name: string; from: string },
): string {
  const broken = (cause?: unknown) =>
    new Failure('NotRestorable', `${name} on ${from} is not the report of that name`, {
      ...{ next: 'it was changed there, or is of a newer Permafrost', cause },
    });
  const report = parse(json);
  if (typeof report !== 'object' || report === null || Reflect.get(report, 'instance') !== domain)
    throw broken();
  try {
    const given = { kind: name.split('-')[0], report } as unknown as ReportGiven;
    if (reportName(given) === name) return pageOf(given);
  } catch (error) {
    throw broken(error);
  }
  throw broken();
}

/** Names of the reports in a list of files. */
function reportsIn(files: readonly string[]): string[] {
  return files
    .flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []))
    .filter((name) => reportNamePattern.test(name));
}

async function describe(configuration: Configuration, domain: string, name: string): Promise<FoundReport> {
  const { state } = configuration;
  const read = listed.safeParse(parse(await readReport(state, domain, name, 'json')));
  return present({
    ...{ name, kind: name.split('-')[0] ?? '', status: 'unreadable' },
    ...(read.success ? pick(read.data) : {}),
    file: `${reportsFolder(state, domain)}/${name}.html`,
    url: await reportUrl(configuration, domain, name),
  });
}

function pick({ status, backup, from, finishedAt }: z.infer<typeof listed>) {
  return { status, ...present({ backup, from, finishedAt }) };
}

function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '') as unknown;
  } catch {
    return null;
  }
}
