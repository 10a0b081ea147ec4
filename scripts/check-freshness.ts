#!/usr/bin/env node
import { freshnessOf, isLate, LATE } from '../src/backups/freshness.js';
import type { Configuration, InstanceConfig } from '../src/config/configuration.js';
import { parseDuration } from '../src/config/values.js';
import { within } from '../src/doctor/looking.js';
import { Failure } from '../src/errors.js';
import { readJudgedManifest } from '../src/offsite/manifest-check.js';
import type { Offsite } from '../src/offsite/offsite.js';
import { offsiteOf, withOffsite } from '../src/offsite/read.js';
import { type TrustedKeys, trustedKeys } from '../src/offsite/trusted-keys.js';
import {
  checkExitCodes,
  freshnessLine,
  type OffsiteFreshness,
  oneLine,
  worstState,
} from '../src/terminal/freshness-line.js';
import { commaList, someOf } from './cli/backup-choices.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { failureOf } from './cli/failures.js';
import { chooseInstance } from './cli/instance.js';

interface FreshnessOptions {
  offsite?: string[];
  interval: string;
  warning: string;
  critical: string;
  timeout: string;
}

/** How old the newest backup may be, and how long an off-site may take to say so. */
interface Limits {
  intervalMs: number;
  /** In intervals. */
  warning: number;
  critical: number;
  timeoutMs: number;
}

export function checkFreshnessCommand(run: Run) {
  return run
    .command('check-freshness', 'for cron on another machine: is there a new backup on every off-site?')
    .argument('[instance]', 'its LOCAL_DOMAIN; may be left out when there is only one')
    .option('--offsite <names>', 'of these off-sites alone', commaList)
    .option('--interval <duration>', 'how often a backup is due', '1d')
    .option('--warning <factor>', 'intervals after which it is late', String(LATE))
    .option('--critical <factor>', 'intervals after which that is critical', '2')
    .exitOverride((error) => {
      if (error.exitCode === 0) throw error; // --help
      // Exit code 2 would be CRITICAL; that of Refused is UNKNOWN.
      throw new Failure('Refused', error.message.replace(/^error: /, ''), {
        next: 'see: permafrost check-freshness --help',
      });
    })
    .option('--timeout <duration>', 'how long an off-site may take to answer', '60s')
    .action(async (name: string | undefined, options: FreshnessOptions, command) => {
      await checkFreshness(run.context(command), name, options);
    });
}

/** One line and an exit code as monitoring wants them, whatever happens: a mistake of ours must not look like late. */
async function checkFreshness(
  context: Context,
  name: string | undefined,
  options: FreshnessOptions,
): Promise<void> {
  const { out } = context;
  try {
    const configuration = await context.configuration();
    const instance = chooseInstance(configuration, name);
    const limits = limitsOf(options);
    const names =
      options.offsite === undefined
        ? instance.offsites
        : someOf('--offsite', options.offsite, instance.offsites);
    const trusted = await trustedKeys(configuration);
    const offsites = await Promise.all(
      names.map((offsite) => look(configuration, instance, offsite, limits, trusted)),
    );
    const state = worstState(offsites.map((one) => one.state));
    const seconds = (factor: number) => Math.round((limits.intervalMs * factor) / 1000);
    context.exitWith(checkExitCodes[state]);
    out.result({ instance: instance.domain, status: state, offsites }, [
      freshnessLine(offsites, { warning: seconds(limits.warning), critical: seconds(limits.critical) }),
    ]);
  } catch (error) {
    const { message, next } = failureOf(error);
    const text = next === undefined ? message : `${message.replace(/\.$/, '')}; ${next}`;
    context.exitWith(checkExitCodes.UNKNOWN);
    out.result({ status: 'UNKNOWN', error: text }, [oneLine('UNKNOWN', text)]);
  }
}

/** @throws Failure `ConfigInvalid` for what is no duration and no number. */
function limitsOf({ interval, warning, critical, timeout }: FreshnessOptions): Limits {
  const duration = (option: string, text: string): number => {
    const ms = parseDuration(text);
    if (ms !== null && ms > 0) return ms;
    throw new Failure('ConfigInvalid', `${option}: '${text}' is not a duration`, {
      next: 'such as 1d, 12h or 90s',
    });
  };
  const factor = (option: string, text: string): number => {
    if (/^\d+(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text);
    throw new Failure('ConfigInvalid', `${option}: '${text}' is not a number`, { next: 'such as 1.25' });
  };
  return {
    intervalMs: duration('--interval', interval),
    warning: factor('--warning', warning),
    critical: factor('--critical', critical),
    timeoutMs: duration('--timeout', timeout),
  };
}

async function look(
  configuration: Configuration,
  instance: InstanceConfig,
  name: string,
  limits: Limits,
  trusted: TrustedKeys,
): Promise<OffsiteFreshness> {
  const unknown = { name, state: 'UNKNOWN', newest: null, ageMs: null } as const;
  try {
    const config = offsiteOf(configuration, name);
    const looking = withOffsite(configuration, instance, config, (offsite) =>
      judge(offsite, instance.domain, limits, trusted),
    );
    return await within(limits.timeoutMs, looking);
  } catch (error) {
    const failure = failureOf(error);
    const nothing = failure.type === 'NotFound';
    return { ...unknown, ...(nothing ? { state: 'CRITICAL' as const } : {}), detail: failure.message };
  }
}

/** The newest backup by its id, if its manifest is what was sealed there. */
async function judge(
  offsite: Offsite,
  domain: string,
  { intervalMs, warning, critical }: Limits,
  trusted: TrustedKeys,
): Promise<OffsiteFreshness> {
  const { name } = offsite;
  const { sealed } = await offsite.list();
  const { newest, ageMs, future } = freshnessOf(
    sealed.map(({ backup }) => backup),
    new Date(),
  );
  const stored = sealed.find(({ backup }) => backup === newest);
  if (stored === undefined) return { name, state: 'CRITICAL', newest, ageMs, detail: 'no backup' };
  const { problems } = await readJudgedManifest(offsite, stored, { instance: domain, trusted });
  const [problem] = problems;
  if (problem !== undefined)
    return { name, state: 'CRITICAL', newest, ageMs, detail: `the manifest of ${stored.backup} ${problem}` };
  if (isLate(ageMs, intervalMs, critical)) return { name, state: 'CRITICAL', newest, ageMs, detail: 'late' };
  if (isLate(ageMs, intervalMs, warning)) return { name, state: 'WARNING', newest, ageMs, detail: 'late' };
  const [ahead] = future;
  if (ahead !== undefined)
    return {
      name,
      state: 'WARNING',
      newest,
      ageMs,
      detail: `${ahead} is from the future: was a clock wrong?`,
    };
  return { name, state: 'OK', newest, ageMs };
}

if (isMain(import.meta.url)) await runScript(checkFreshnessCommand);
