import { isCancellation, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { Activities } from '../activities/index.js';
import type { FailureReport } from '../backups/report.js';
import type { VerifiedCopy, VerifyReport, VerifyRequest } from '../backups/verify-report.js';
import { asReported, causeOf, fail, reportOf } from './failures.js';
import { verifyWorkflowId } from './names.js';
import { refuseForeignId } from './own-id.js';
import * as policies from './policies.js';
import { RunProgress } from './run-progress.js';
import { now } from './run-state.js';
import { verifyDetails } from './verify-details.js';

const looking = proxyActivities<Activities>(policies.look);
const reading = (summary: string) => proxyActivities<Activities>({ ...policies.transfer, summary });

/** Reads a sealed backup back from each off-site that has it, side by side. Nothing is stopped, locked or changed. */
export async function verify(request: VerifyRequest): Promise<VerifyReport> {
  refuseForeignId(request, (id, instance) => id === verifyWorkflowId(instance));
  const { startTime, workflowId, runId } = workflowInfo();
  const turn = Math.floor(startTime.getTime() / dayMs); // another share of the old media every day
  const report: VerifyReport = {
    ...{ instance: request.instance, backup: request.backup, depth: request.depth },
    ...{ status: 'passed', workflowId, runId },
    ...{ startedAt: startTime.toISOString(), finishedAt: '', copies: [] },
  };
  const progress = new RunProgress({
    ...{ instance: report.instance, backup: report.backup, phases: ['verify'] },
    details: ({ status }) => verifyDetails(report, status === 'running'),
  });
  progress.begin('verify');
  try {
    const found = await looking.findStored(asked(request));
    report.backup = found.backup;
    report.notOn = found.notOn;
    progress.found(found.backup);
    for (const name of found.offsites) progress.offsite(name, 'verifying');
    report.copies.push(...found.unread.map(({ name, error }) => unread(found.backup, name, error)));
    const ended = await Promise.allSettled(
      found.offsites.map(async (offsite) => {
        const copy = await verifyOn(offsite, found.backup, request, turn);
        report.copies.push(copy);
        if (copy.passed) progress.offsite(offsite, 'verified');
        else progress.offsite(offsite, 'failed', copy.error?.message ?? 'not what it should be');
      }),
    );
    const cancelled = ended.find((end) => end.status === 'rejected');
    if (cancelled !== undefined) throw cancelled.reason;
  } catch (error) {
    throw failed(report, progress, error);
  }
  return finish(report, progress);
}

const dayMs = 86_400_000;

function asked({ instance, backup, from }: VerifyRequest) {
  return { instance, backup, ...(from === undefined ? {} : { from }) };
}

async function verifyOn(
  offsite: string,
  backup: string,
  { instance, depth }: VerifyRequest,
  turn: number,
): Promise<VerifiedCopy> {
  try {
    return await reading(`${backup} from ${offsite}`).verifyStored({
      instance,
      backup,
      offsite,
      depth,
      turn,
    });
  } catch (error) {
    if (isCancellation(error)) throw error;
    return unread(backup, offsite, reportOf(error));
  }
}

function unread(backup: string, from: string, error: FailureReport): VerifiedCopy {
  return {
    ...{ backup, from, passed: false, checked: { files: 0, bytes: 0 } },
    ...{ findings: [], moreFindings: 0, signature: 'not judged', error },
  };
}

/** A copy that is not what it should be fails the run: in Temporal's list it must not look like one that is. */
function finish(report: VerifyReport, progress: RunProgress): VerifyReport {
  report.copies.sort((one, other) => (one.from < other.from ? -1 : 1));
  const bad = report.copies.filter(({ passed, error }) => !passed && error === undefined);
  const errors = report.copies.flatMap(({ error }) => (error === undefined ? [] : [error]));
  report.status = bad.length > 0 ? 'findings' : errors.length > 0 ? 'failed' : 'passed';
  const passed = report.status === 'passed';
  end(report, progress, passed ? 'done' : 'failed', passed ? 'passed' : 'failed');
  if (report.status === 'passed') return report;
  if (bad.length > 0) {
    const where = bad.map(({ from }) => from).join(', ');
    const message = `${report.backup} on ${where} is not what it should be`;
    throw fail('VerifyFailed', message, nextOf(report), report);
  }
  const [first] = errors;
  throw asReported(first, report);
}

function failed(report: VerifyReport, progress: RunProgress, error: unknown): Error {
  report.status = 'failed';
  end(report, progress, isCancellation(error) ? 'cancelled' : 'failed');
  if (isCancellation(error) && error instanceof Error) return error;
  return causeOf(error) ?? asReported(reportOf(error), report);
}

function end(report: VerifyReport, progress: RunProgress, ...how: Parameters<RunProgress['end']>): void {
  report.finishedAt = now();
  progress.end(...how);
}

/** What to do about a backup that is not what it should be. */
function nextOf({ copies, instance }: VerifyReport): string {
  const whole = copies.filter(({ passed }) => passed).map(({ from }) => from);
  const elsewhere =
    whole.length > 0
      ? `${whole.join(', ')} has it whole: restore from there`
      : 'see whether an older backup, or another off-site, is whole (permafrost verify BACKUP --depth all)';
  return `${elsewhere}; look after the off-site (a disk, a provider, somebody who writes there), and make a new backup: permafrost backup ${instance}`;
}
