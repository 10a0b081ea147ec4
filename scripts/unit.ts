#!/usr/bin/env node
import { existsSync, readFileSync } from 'node:fs';
import type { Configuration } from '../src/config/configuration.js';
import { loadConfiguration } from '../src/config/load.js';
import { Failure } from '../src/errors.js';
import type { Host } from '../src/hosts/host.js';
import { localHost } from '../src/hosts/local.js';
import { formatFields } from '../src/terminal/format.js';
import { type Context, isMain, type Run, runScript } from './cli/command.js';
import { openRuns } from './cli/runs.js';
import { withTemporal } from './cli/temporal.js';
import { commandLines, createUser, type Obstacle, obstaclesFor, userExists } from './deploy/access.js';
import {
  disable,
  enable,
  forget,
  installedUnits,
  isActive,
  removeUnit,
  requireSystemd,
  writeUnit,
} from './deploy/systemd.js';
import {
  cloneFolder,
  OWN_USER,
  planUnit,
  programFile,
  readUnit,
  type UnitName,
  unitPaths,
  type UnitPlan,
} from './deploy/unit-files.js';

interface Wanted {
  worker?: boolean;
  user?: string;
  grant?: boolean;
}

export function unitCommand(run: Run) {
  const unit = run.command('unit', 'keep Permafrost running, as a unit of systemd');
  const worker = ['--worker', 'the worker alone, for a Temporal cluster'] as const;
  const user = [
    '--user <name>',
    `who it runs as (default: root for "host: local", else ${OWN_USER})`,
  ] as const;
  unit
    .command('install')
    .description(
      'install the unit for this clone and this configuration, and start it; again after every upgrade',
    )
    .option(...worker)
    .option(...user)
    .option('--grant', 'give that user the rights that it lacks, instead of naming the commands')
    .action(async (options: Wanted, command) => install(run.context(command), options));
  unit
    .command('remove')
    .description('stop and remove the unit; backups, the state folder and the configuration stay')
    .option('--now', 'also while a run is open')
    .action(async (options: { now?: boolean }, command) => remove(run.context(command), options));
  unit
    .command('show')
    .description('print what install would write')
    .option(...worker)
    .option(...user)
    .action(async (options: Wanted, command) => show(run.context(command), options));
  return unit;
}

async function show({ out, ...context }: Context, wanted: Wanted): Promise<void> {
  const plan = planUnit(await context.configuration(), asked(wanted));
  out.result(
    plan,
    plan.files.flatMap(({ path, text }) => [`### ${path}`, ...text.trimEnd().split('\n'), '']),
  );
}

async function install({ out, ...context }: Context, wanted: Wanted): Promise<void> {
  const configuration = await context.configuration();
  const plan = planUnit(configuration, asked(wanted));
  requireSystemd();
  const other = installedUnits().find((name) => name !== plan.name);
  if (other !== undefined) {
    throw new Failure('Refused', `${other} is installed: two workers for one configuration`, {
      next: 'First: permafrost unit remove',
    });
  }
  const machine = localHost();
  try {
    const created = await prepareUser(machine, plan.user, configuration);
    const granted = await clearTheWay(machine, plan, configuration, wanted.grant === true);
    out.say(...created, ...granted);
    const active = await isActive(machine, plan.name);
    const changed = await writeUnit(plan);
    out.say(changed ? `${plan.name}: written to ${unitPaths(plan.name).unit}` : `${plan.name}: as it was`);
    // A run goes on after a restart, and a new version of the program is what install is called for after an upgrade.
    await enable(machine, plan.name, { restart: active });
    out.result({ unit: plan.name, user: plan.user, changed, files: plan.files.map(({ path }) => path) }, [
      '',
      `${plan.name} runs, and starts with this machine.`,
      ...formatFields([
        ['user', plan.user],
        ['its log', `journalctl -t permafrost -f`],
        ['commands', asUser(plan.user)],
        ['stop', `systemctl stop ${plan.name}; an open run goes on at the next start`],
      ]),
    ]);
  } finally {
    await machine.close();
  }
}

async function prepareUser(machine: Host, user: string, { state }: Configuration): Promise<string[]> {
  if (await userExists(user, machine)) return [];
  if (user !== OWN_USER) {
    throw new Failure('ConfigInvalid', `There is no user ${user} on this machine`, {
      next: 'Make it, or leave --user out.',
    });
  }
  await createUser(user, state, machine);
  return [`user ${user}: made, a system user without a login`];
}

/** @throws Failure `Refused` with every right that is missing, unless it is to be given and can be. */
async function clearTheWay(
  machine: Host,
  { user }: UnitPlan,
  configuration: Configuration,
  grant: boolean,
): Promise<string[]> {
  const obstacles = await obstaclesFor(user, configuration, machine);
  if (!grant) {
    refuseObstacles(user, obstacles);
    return [];
  }
  const argvs = obstacles.flatMap(({ remedies }) => remedies);
  for (const argv of argvs) await machine.run(argv, { timeoutMs: 600_000 });
  refuseObstacles(user, await obstaclesFor(user, configuration, machine));
  return commandLines(obstacles).map((line) => `done: ${line}`);
}

function refuseObstacles(user: string, obstacles: readonly Obstacle[]): void {
  if (obstacles.length === 0) return;
  const lines = obstacles.map(({ what, advice }) => `- ${what}${advice === undefined ? '' : ` (${advice})`}`);
  const commands = commandLines(obstacles);
  throw new Failure('Refused', [`${user} could not run this configuration:`, ...lines].join('\n'), {
    next:
      commands.length === 0
        ? 'Mend that, and run the same again.'
        : ['Run the same with --grant, or yourself:', ...commands.map((line) => `  ${line}`)].join('\n'),
  });
}

async function remove({ out }: Context, { now }: { now?: boolean }): Promise<void> {
  requireSystemd();
  const [name] = installedUnits();
  if (name === undefined) {
    out.result({ removed: null }, ['No unit of Permafrost is installed.']);
    return;
  }
  const installed = readUnit(readFileSync(unitPaths(name).unit, 'utf8'));
  const machine = localHost();
  try {
    if (now !== true) await refuseOpenRuns(name, installed.configFile);
    out.say(`Stopping ${name} …`);
    await disable(machine, name);
    const foreign = await removeUnit(name);
    await forget(machine, name);
    const left = whatIsLeft(installed, foreign, await userExists(OWN_USER, machine));
    out.result({ removed: name, left: left.map(([what, where]) => ({ what, where })) }, [
      `${name} is removed. Nothing is backed up from now on.`,
      '',
      'Left as it is (docs/uninstalling.md):',
      ...formatFields(left),
    ]);
  } finally {
    await machine.close();
  }
}

/** Without a worker an open run stands still, and its services come back by their lease alone. */
async function refuseOpenRuns(name: UnitName, configFile: string | undefined): Promise<void> {
  if (configFile === undefined || !existsSync(configFile)) return;
  let open: string[];
  try {
    const configuration = await loadConfiguration({ file: configFile });
    open = await withTemporal(configuration, async ({ client }) => {
      const runs = Object.keys(configuration.instances).map((domain) => openRuns(client, domain));
      return (await Promise.all(runs)).flat().map(({ workflowId }) => workflowId);
    });
  } catch {
    return; // Nobody answers: nothing is at work that a removal would interrupt.
  }
  if (open.length === 0) return;
  throw new Failure('Busy', `a run is open: ${open.join(', ')}`, {
    next: `Wait until it has ended, or end it (permafrost cancel). To remove ${name} all the same: permafrost unit remove --now`,
  });
}

function whatIsLeft(
  { configFile, state }: { configFile?: string; state?: string },
  foreign: string | undefined,
  ownUser: boolean,
): [string, string][] {
  const left: [string, string | undefined][] = [
    ['backups', 'on their off-sites'],
    ['state', state],
    ['configuration', configFile],
    ['program', cloneFolder()],
    ['user', ownUser ? OWN_USER : undefined],
    ['drop-ins', foreign],
    ['environment', existsSync('/etc/default/permafrost') ? '/etc/default/permafrost' : undefined],
    ['on hosts', '/var/lib/permafrost (or ~/.local/state/permafrost) of the user who logs in there'],
  ];
  return left.filter((entry): entry is [string, string] => entry[1] !== undefined);
}

function asked({ worker, user }: Wanted): { worker: boolean; user?: string } {
  return { worker: worker === true, ...(user === undefined ? {} : { user }) };
}

/** How an operator calls a verb so that the files it leaves are the unit's user's. */
function asUser(user: string): string {
  const status = `node ${programFile()} status`;
  return user === 'root' ? status : `runuser -u ${user} -- ${status}`;
}

if (isMain(import.meta.url)) await runScript(unitCommand);
