import { Failure } from '../errors.js';
import type { Host } from './host.js';

/** One thing that the login user may do as another: a command with exactly these words, or all commands. */
export interface SudoRule {
  /** The user that the command runs as. */
  readonly as: string;
  /** The program without its folder, or with it; then its words. `ALL`: whatever that user may do. */
  readonly argv: readonly string[] | 'ALL';
}

/** Where sudo looks for a program that is called without its folder, as Debian's and Ubuntu's sudoers have it. */
const securePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The text of a sudoers file with these rules and nothing else. Pure.
 *
 * @param rules with absolute programs: see `resolvePrograms`.
 * @throws Failure `InvalidInput` for words that sudoers cannot say exactly: sudo compares a command's words joined by
 *   blanks, so one with a blank in it would allow other commands too.
 */
export function sudoersText(user: string, rules: readonly SudoRule[], about: readonly string[] = []): string {
  const comment = about.map((line) => `# ${line.replace(/\s+/g, ' ')}`);
  const lines = rules.map(
    ({ as, argv }) =>
      `${word(user)} ALL=(${word(as)}) NOPASSWD: ${argv === 'ALL' ? 'ALL' : argv.map(word).join(' ')}`,
  );
  return [...comment, ...new Set(lines), ''].join('\n');
}

/** sudoers(5): `, : = \` and the characters of patterns stand for themselves behind a backslash. */
function word(text: string): string {
  if (text === '' || /[\s"#!\0]/.test(text) || /^\^/.test(text)) {
    throw new Failure('InvalidInput', `A sudoers file cannot name this exactly: ${JSON.stringify(text)}`, {
      next: 'Use root on this host, or names without blanks and quotes.',
    });
  }
  return text.replace(/[\\,:=*?[\]()]/g, '\\$&');
}

/** The same rules, with each program as sudo on this host finds it. @throws Failure `ToolMissing`. */
export async function resolvePrograms(host: Host, rules: readonly SudoRule[]): Promise<SudoRule[]> {
  const names = new Set(rules.flatMap(({ argv }) => (argv === 'ALL' ? [] : argv.slice(0, 1))));
  const paths = new Map<string, string>();
  for (const name of names) {
    const script = 'PATH=$1 command -v -- "$2"';
    const { stdout } = await host.run(['sh', '-c', script, 'sh', securePath, name], { okCodes: [0, 1, 127] });
    const path = stdout.trim();
    if (!path.startsWith('/')) {
      throw new Failure('ToolMissing', `There is no ${name} on ${host.name}.`, { host: host.name });
    }
    paths.set(name, path);
  }
  return rules.map(({ as, argv }) => {
    if (argv === 'ALL') return { as, argv };
    const [name = '', ...words] = argv;
    return { as, argv: [paths.get(name) ?? name, ...words] };
  });
}

/** Those of the rules that sudo on this host does not grant. Runs none of their commands. */
export async function missingRules(host: Host, rules: readonly SudoRule[]): Promise<SudoRule[]> {
  const missing: SudoRule[] = [];
  for (const rule of rules) {
    // A command that only ALL allows.
    const argv = rule.argv === 'ALL' ? ['sh', '-c', 'true'] : rule.argv;
    const { exitCode } = await host.run(['sudo', '-n', '-l', '-u', rule.as, '--', ...argv], {
      okCodes: [0, 1],
    });
    if (exitCode !== 0) missing.push(rule);
  }
  return missing;
}

/** @throws Failure `AuthFailed` naming the rules that are missing. */
export async function requireRules(host: Host, rules: readonly SudoRule[], domain: string): Promise<void> {
  const missing = await missingRules(host, rules);
  if (missing.length === 0) return;
  const { user } = await host.facts();
  const lines = sudoersText(user, await resolvePrograms(host, missing)).trim();
  throw new Failure(
    'AuthFailed',
    `sudo on ${host.name} does not allow ${user} all that a backup of ${domain} needs; missing: ${lines.split('\n').join(' | ')}`,
    {
      host: host.name,
      next: `put what \`permafrost config sudoers ${domain}\` prints into a file of /etc/sudoers.d there`,
    },
  );
}
