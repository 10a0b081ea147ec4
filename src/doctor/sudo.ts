import { bad, type Check, good, type Subject, warning } from '../backups/checks.js';
import { partNames } from '../backups/parts.js';
import { missingRules, type SudoRule } from '../hosts/sudoers.js';
import type { Instance } from '../mastodon/inspect.js';
import { missingRights, sudoersFile, sudoersOf, sudoRules } from '../mastodon/sudo-rules.js';
import type { Look } from './instance.js';
import { onHost } from './looking.js';

/**
 * Whether sudo grants, without a password, just what a run needs; with the whole file where it does not. Where there is
 * neither root nor sudo: whether a run could do without.
 */
export async function lookAtSudo(
  { host, facts, config }: Look,
  about: Subject,
  instance: Instance,
): Promise<Check[]> {
  if (!facts.sudo) {
    const { services } = instance;
    const units = services.kind === 'systemd' && config.quiesce.mode !== 'none' ? services.units : [];
    const stops = units.filter(({ active }) => active).map(({ name }) => name);
    const missing = await missingRights(host, instance, { stops, parts: partNames });
    return missing.map(({ detail, fix }) => bad({ ...about, name: 'rights' }, `${detail}.`, fix));
  }
  const rules = await sudoRules(host, config, instance);
  const [needed, wanted] = await Promise.all([
    missingRules(host, rules.needed),
    missingRules(host, rules.wanted),
  ]);
  const file = { path: sudoersFile, text: sudoersOf(facts.user, config.domain, rules) };
  const fix = `${onHost(host)}visudo -f ${sudoersFile}, with these lines (permafrost config sudoers ${config.domain} prints them)`;
  if (needed.length > 0) {
    const detail = `sudo does not allow ${facts.user}, without a password: ${shown(needed)}.`;
    return [bad(about, detail, fix, file)];
  }
  if (wanted.length > 0) {
    const detail = `sudo does not allow ${facts.user}: ${shown(wanted)}. The roles are kept without their passwords.`;
    return [{ ...warning(about, detail, fix), file }];
  }
  const count = rules.needed.length + rules.wanted.length;
  return [good(about, `${String(count)} rules, all granted without a password`)];
}

function shown(rules: readonly SudoRule[]): string {
  const [first, ...others] = rules.map(({ as, argv }) =>
    argv === 'ALL' ? `everything as ${as}` : `${argv.join(' ')} (as ${as})`,
  );
  return `${first ?? ''}${others.length === 0 ? '' : `, and ${String(others.length)} more`}`;
}
