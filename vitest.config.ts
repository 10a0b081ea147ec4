import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/longest-first.js';

/**
 * Four kinds of tests, cheapest first; each is a folder of `test/`. Those with real services wait for half of their time,
 * so three files at once keep two cores busy.
 */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          maxWorkers: 2,
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'workflow',
          include: ['test/workflow/**/*.test.ts'],
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          sequence: { groupOrder: 2 },
          include: ['test/integration/**/*.test.ts'],
          // Records histories, and tests nothing: test/histories/README.md.
          exclude: process.env['PERMAFROST_RECORD'] === '1' ? [] : ['**/record-histories.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 240_000,
          maxWorkers: 3,
        },
      },
      {
        test: {
          name: 'e2e',
          globalSetup: ['test/e2e/build-testbed.ts'],
          sequence: { groupOrder: 2 },
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 600_000,
          maxWorkers: 3,
        },
      },
    ],
  },
});
