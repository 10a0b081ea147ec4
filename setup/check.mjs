/** `npm run check`: all that is checked without running a test, side by side. Says nothing when all is well. */
import { npm } from './npm.mjs';
import { run } from './programs.mjs';

const checks = ['typecheck', 'lint', 'format:check'];

const results = await Promise.all(
  checks.map(async (check) => ({ check, ...(await run([...npm(), 'run', '--silent', check])) })),
);
for (const { check, code, output } of results) {
  process.stdout.write(output);
  if (code === 0) continue;
  process.stdout.write(`\nnpm run ${check}: failed (exit ${code})\n`);
  process.exitCode = 1;
}
