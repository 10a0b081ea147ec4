import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that the dearest files take, roughly: with the longest first the workers end together. What is not named here
 * is short, or new.
 */
const seconds: Readonly<Record<string, number>> = {
  'test/e2e/restart.test.ts': 240,
  'test/integration/restore.test.ts': 130,
  'test/e2e/night.test.ts': 130,
  'test/integration/demo.test.ts': 120,
  'test/e2e/recovery.test.ts': 110,
  'test/e2e/deploy.test.ts': 110,
  'test/integration/restart.test.ts': 110,
  'test/e2e/hosts.test.ts': 80,
  'test/e2e/sudo.test.ts': 70,
  'test/integration/hostile.test.ts': 100,
  'test/integration/kinds.test.ts': 90,
  'test/integration/copy.test.ts': 80,
  'test/integration/night.test.ts': 80,
  'test/integration/drill.test.ts': 80,
  'test/integration/preflight.test.ts': 60,
  'test/integration/verify.test.ts': 55,
  'test/integration/hosts/ssh-root.test.ts': 55,
  'test/integration/temporal-embedded.test.ts': 50,
  'test/integration/restore-core.test.ts': 50,
  'test/integration/cli-backup.test.ts': 46,
  'test/integration/prune.test.ts': 45,
  'test/integration/offsite/tree.test.ts': 45,
  'test/integration/offsite/rclone.test.ts': 45,
  'test/integration/offsite/restic.test.ts': 45,
  'test/integration/offsite/rsync-conformance.test.ts': 45,
  'test/integration/deltas.test.ts': 40,
  'test/e2e/testbed.test.ts': 40,
  'test/integration/hosts/ssh-sudo.test.ts': 35,
  'test/integration/secrets.test.ts': 30,
  'test/integration/restore-to-folder.test.ts': 30,
  'test/integration/proofs.test.ts': 30,
  'test/integration/receive.test.ts': 27,
  'test/integration/hosts/local-user.test.ts': 27,
  'test/integration/hosts/local.test.ts': 26,
  'test/integration/temporal-connection.test.ts': 25,
  'test/integration/application.test.ts': 24,
  'test/integration/scratch.test.ts': 20,
};
const short = 15;

/** Groups of projects one after the other, as ever; in each of them the longest file first, whatever its project. */
export class LongestFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const group = ({ project }: TestSpecification) => project.config.sequence.groupOrder;
    const weight = ({ moduleId }: TestSpecification) =>
      seconds[relative(this.ctx.config.root, moduleId)] ?? short;
    return Promise.resolve(
      [...files].sort((one, other) => group(one) - group(other) || weight(other) - weight(one)),
    );
  }
}
