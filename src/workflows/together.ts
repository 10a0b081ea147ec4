import { CancellationScope } from '@temporalio/workflow';

/** Side by side; when one fails the others are cancelled, and all have ended before the failure goes on. */
export async function together(steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  const scope = new CancellationScope();
  await scope.run(async () => {
    const running = steps.map((step) => step());
    try {
      await Promise.all(running);
    } catch (error) {
      scope.cancel();
      await Promise.allSettled(running);
      throw error;
    }
  });
}
