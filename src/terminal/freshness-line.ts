import { formatDuration } from './format.js';
import { plainText } from './plain-text.js';

/** The states of a Nagios plugin, with its exit codes (nagios-plugins.org, development guidelines). */
export const checkExitCodes = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const;
export type CheckState = keyof typeof checkExitCodes;

/** What was found of one off-site. */
export interface OffsiteFreshness {
  name: string;
  state: CheckState;
  newest: string | null;
  ageMs: number | null;
  /** What is wrong, in a few words. */
  detail?: string;
}

/** What is certainly wrong is worse than what nobody knows. */
const worstFirst = ['CRITICAL', 'UNKNOWN', 'WARNING', 'OK'] as const;

export function worstState(states: readonly CheckState[]): CheckState {
  return worstFirst.find((state) => states.includes(state)) ?? 'UNKNOWN';
}

/**
 * One line as monitoring wants it: `OK - vault 6 h 2 min old | vault_age=21720s;108000;172800`, the worst first.
 *
 * @param limits seconds from which an age is a warning, and critical.
 */
export function freshnessLine(
  offsites: readonly OffsiteFreshness[],
  limits: { warning: number; critical: number },
): string {
  const sorted = [...offsites].sort(
    (one, other) => worstFirst.indexOf(one.state) - worstFirst.indexOf(other.state),
  );
  const texts = sorted.map(({ name, ageMs, detail }) => {
    const age = ageMs === null ? '' : ` ${formatDuration(ageMs)} old`;
    return `${name}${age}${detail === undefined ? '' : `: ${detail.replace(/\.$/, '')}`}`;
  });
  const data = offsites.flatMap(({ name, ageMs }) =>
    ageMs === null
      ? []
      : [
          `${name}_age=${String(Math.round(ageMs / 1000))}s;${String(limits.warning)};${String(limits.critical)}`,
        ],
  );
  return oneLine(worstState(offsites.map(({ state }) => state)), texts.join(', '), data);
}

/** A bar begins the performance data, so there is none before them. */
export function oneLine(state: CheckState, text: string, data: readonly string[] = []): string {
  const words = plainText(text).replace(/\s+/g, ' ').replaceAll('|', '/').slice(0, 1000);
  return `${state} - ${words}${data.length === 0 ? '' : ` | ${data.join(' ')}`}`;
}
