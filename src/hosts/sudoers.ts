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

/**
 * Those of the rules that sudo on this host does not grant, or grants only after a password. Runs none of their
 * commands.
 */
export async function missingRules(host: Host, rules: readonly SudoRule[]): Promise<SudoRule[]> {
  if (rules.length === 0) return [];
  const env = { LC_ALL: 'C' };
  const granted = rules.map(async (rule) => {
    // A command that only ALL allows.
    const argv = rule.argv === 'ALL' ? ['sh', '-c', 'true'] : rule.argv;
    const words = ['sudo', '-n', '-l', '-u', rule.as, '--', ...argv];
    return (await host.run(words, { okCodes: [0, 1], env })).exitCode === 0;
  });
  const [listed, ...grants] = await Promise.all([
    host.run(['sudo', '-n', '-ll'], { okCodes: [0, 1], env }),
    ...granted,
  ]);
  return rules.filter((rule, at) => grants[at] !== true || asksForPassword(listed.stdout, rule));
}

/**
 * Whether sudo would ask for a password before a command that it allows: `sudo -l COMMAND` does not tell. Pure.
 *
 * @param listing what `sudo -ll` says, in English. The last entry that fits decides (sudoers(5)); where none fits as it
 *   is written (a pattern, an alias), the rule is taken to ask for none.
 */
export function asksForPassword(listing: string, rule: SudoRule): boolean {
  const [defaults = '', ...entries] = listing.split(/^(?:Sudoers entry|LDAP Role):.*$/m);
  if (/^\s+exempt_group=|[\s,]exempt_group=|!authenticate/m.test(defaults)) return false;
  const wanted = rule.argv === 'ALL' ? ['ALL'] : [rule.argv.join(' '), rule.argv[0] ?? '', 'ALL'];
  const fitting = entries.filter((entry) => {
    const [head = '', commands = ''] = entry.split(/^\s*Commands:\s*$/m);
    const users = /^\s*RunAsUsers: (.*)$/m.exec(head)?.[1]?.split(/,\s*/) ?? ['root'];
    const lines = commands.split('\n').map((line) => line.trim().replace(/\\(.)/g, '$1'));
    return (
      users.some((user) => user === rule.as || user === 'ALL') && wanted.some((one) => lines.includes(one))
    );
  });
  const last = fitting.at(-1);
  return last !== undefined && !/^\s*Options:.*!authenticate/m.test(last);
}

/** @throws Failure `AuthFailed` naming the rules that are missing. */
export async function requireRules(host: Host, rules: readonly SudoRule[], domain: string): Promise<void> {
  const missing = await missingRules(host, rules);
  if (missing.length === 0) return;
  const { user } = await host.facts();
  const lines = sudoersText(user, await resolvePrograms(host, missing)).trim();
  throw new Failure(
    'AuthFailed',
    `sudo on ${host.name} does not allow ${user}, without asking for a password, all that a backup of ${domain} needs; missing: ${lines.split('\n').join(' | ')}`,
    {
      host: host.name,
      next: `put what \`permafrost config sudoers ${domain}\` prints into a file of /etc/sudoers.d there`,
    },
  );
}
