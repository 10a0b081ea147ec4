import type { Host, Identity } from '../hosts/host.js';
import { besideName } from './database-names.js';
import type { Journal, SwapPlan, SwapStep } from './journal.js';
import type { Steps } from './steps.js';

/** What an undo does: the steps of its restore with what they have kept, each the other way round. */
export interface UndoSteps extends Steps {
  /** For each step the file of the restore's journal that it puts in place, or none. */
  readonly contents: readonly (string | null)[];
}

/** Prints "number mode uid gid" of each file that was kept, "number made" and "number absent". */
const keptScript = `cd -- "$1/old" 2> /dev/null || exit 0
for f in *; do
  case $f in
    *.made) printf '%s made %s\\n' "\${f%.made}" "$(tr '\\n' ' ' < "$f")" ;;
    *.absent) printf '%s absent\\n' "\${f%.absent}" ;;
    *.new|'*') ;;
    *) stat -c "$f file %a %u %g" -- "$f" ;;
  esac
done`;

type Kept = ReadonlyMap<number, readonly string[]>;

async function keptBy(host: Host, as: Identity, folder: string): Promise<Kept> {
  const { stdout } = await host.run(['sh', '-c', keptScript, 'sh', folder], { as });
  const lines = stdout.split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const [number = '', ...words] = line.trim().split(' ');
      return [Number(number), words] as const;
    }),
  );
}

/** @param journal of the restore, swapped in whole. */
export async function undoSteps(journal: Journal, plan: SwapPlan): Promise<UndoSteps> {
  const kept = await keptBy(journal.host, journal.as, journal.folder);
  const made: { step: SwapStep; content: string | null; of: number; line?: string }[] = [];
  for (const [of, step] of plan.steps.entries()) {
    const back = reversed(step, kept.get(of) ?? [], plan.restore);
    if (back !== undefined) made.push({ ...back, of, content: back.old ? `old/${String(of)}` : null });
  }
  const folders = (await journal.text('made')).split('\0').slice(0, -1);
  const placeOf = (of: number) => made.findIndex((one) => one.of === of);
  return {
    steps: [
      ...made.map(({ step }) =>
        step.kind === 'nginx'
          ? { ...step, putBack: step.putBack.map(placeOf).filter((at) => at >= 0) }
          : step,
      ),
      ...(folders.length === 0 ? [] : [{ kind: 'rmdir' as const, folders }]),
    ],
    contents: made.map(({ content }) => content),
    lines: [
      ...made.flatMap(({ line }) => (line === undefined ? [] : [line])),
      ...(plan.parts.includes('media') ? ['media: what was added stays'] : []),
    ],
    warnings: [],
  };
}

/** What takes a step back; undefined for one that has changed nothing. `old`: it puts the file in place that was kept. */
function reversed(
  step: SwapStep,
  [kind, ...kept]: readonly string[],
  restore: string,
): { step: SwapStep; line?: string; old?: boolean } | undefined {
  switch (step.kind) {
    case 'file': {
      const { path } = step;
      if (kind === 'file') {
        const [mode = '600', owner = 'root', group = 'root'] = kept;
        return { step: { ...step, put: true, mode, owner, group }, line: `${path}: as before`, old: true };
      }
      return kind === 'absent' ? { step: { ...step, put: false }, line: `${path}: removed` } : undefined;
    }
    case 'link':
      return kind === 'made'
        ? {
            step: { kind: 'file', path: step.path, put: false, mode: '', owner: '', group: '' },
            line: `${step.path}: removed`,
          }
        : undefined;
    case 'enable':
      return kind === 'made' && kept.length > 0
        ? { step: { kind: 'disable', units: kept.filter((unit) => unit !== '') } }
        : undefined;
    case 'disable':
    case 'rmdir':
      return undefined;
    case 'sql':
      return {
        step: { ...step, forward: step.back, back: step.forward },
        line: "the database role's password: as before",
      };
    case 'redis':
      return { step, line: 'Redis: all its data as before the restore; what it holds now is kept' };
    case 'database': {
      const { name, aside, newOid, oldOid } = step;
      const undone = besideName(name, 'undone', restore);
      const taken = { ...step, beside: aside, aside: undone, newOid: oldOid, oldOid: newOid };
      const line =
        oldOid === '0'
          ? `database ${name}: taken away, kept as ${undone}`
          : `database ${name}: the former one again; today's is kept as ${undone}`;
      return { step: taken, line };
    }
    case 'daemon-reload':
    case 'nginx':
    case 'cache':
      return { step };
  }
}
