import { isWalkDue } from '../backups/database-plan.js';
import type { Host } from '../hosts/host.js';
import type { Offsite, StoredPartRef } from '../offsite/offsite.js';
import type { Checked, Finding } from '../offsite/verify.js';
import { findFull, type Reader, rebuildDump } from '../offsite/whole-dump.js';
import { DatabaseBase } from './database-base.js';
import { dumpFacts } from './database.js';
import { readFacts, type Spool } from './spool.js';

/**
 * What a night that sends a delta proves besides: its full dump is still on the off-site, as far as that can say; and once
 * a week at least, by reading both back, that they are together the dump that the delta was made from.
 *
 * An off-site whose full dump is not as it should be counts as lacking it: the next night brings a new one.
 *
 * @param of.reader where the off-site is read.
 * @param of.ref where tonight's database lies there.
 * @throws Failure when the off-site cannot be asked, or the reader lacks what it takes; never for what the off-site holds.
 */
export async function walkTonight(of: {
  host: Host;
  spool: Spool;
  domain: string;
  copy: Offsite;
  reader: Reader;
  ref: StoredPartRef;
  report?: (bytes: number) => void;
}): Promise<{ findings: readonly Finding[]; checked: Checked }> {
  const { host, spool, domain, copy, reader, ref, report = () => undefined } = of;
  const none = { findings: [], checked: { files: 0, bytes: 0 } };
  const dump = await readFacts(host, spool, 'dump', dumpFacts);
  if (dump?.delta === undefined) return none;
  const { delta, entry } = dump;
  const base = await DatabaseBase.of(host, domain);
  const found = await findFull(copy, delta);
  if ('finding' in found) {
    await base.forgetSealed(copy.name);
    return { ...none, findings: [withNext(found.finding)] };
  }
  if (!isWalkDue(await base.walkedAt(copy.name), new Date())) return none;
  const { full } = found;
  const { findings, checked } = await rebuildDump({
    ...{ copy, reader, full, report },
    delta: { ref, entry, ...delta },
  });
  if (findings.length > 0) await base.forgetSealed(copy.name);
  else await base.noteWalked(copy.name, new Date().toISOString());
  return { findings: findings.map(withNext), checked };
}

function withNext(finding: Finding): Finding {
  return { ...finding, problem: `${finding.problem}; the next backup brings a full dump` };
}
