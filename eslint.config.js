import tseslint from 'typescript-eslint';

/** What each room of src/ may import, besides itself: the arrows of docs/architecture.md, held by a rule. */
const rooms = {
  workflows: { may: [], types: ['activities', 'backups'] },
  activities: {
    may: [
      ...['mastodon', 'hosts', 'offsite', 'backups', 'config', 'temporal', 'records'],
      ...['scratch', 'proofs', 'restore', 'reports'],
    ],
  },
  doctor: { may: ['mastodon', 'hosts', 'offsite', 'backups', 'config', 'records', 'scratch'] },
  records: { may: ['backups'] },
  mastodon: { may: ['hosts', 'config', 'backups'] },
  hosts: { may: [] },
  scratch: { may: ['hosts', 'mastodon', 'backups'] },
  proofs: { may: ['hosts', 'mastodon', 'backups', 'offsite', 'scratch', 'config'] },
  restore: { may: ['hosts', 'mastodon', 'backups', 'offsite', 'config', 'proofs', 'records'] },
  reports: { may: ['backups', 'terminal'] },
  offsite: { may: ['hosts', 'backups', 'config'] },
  backups: { may: [] },
  config: { may: ['hosts', 'mastodon', 'backups'] },
  temporal: { may: ['config', 'workflows', 'backups', 'hosts'] },
  terminal: { may: ['backups'] },
};

const roomNames = Object.keys(rooms);
const pureGlobs = ['node:*', 'fs', 'path', 'os', 'child_process', 'execa', 'ssh2', 'yaml', 'zod'];

export default tseslint.config(
  { ignores: ['dist/', '.tools/', '.cache/', 'node_modules/'] },
  ...tseslint.configs.strict,
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      // `import { type X }` still loads the module: a workflow would pull an activity's dependencies into its bundle.
      '@typescript-eslint/no-import-type-side-effects': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'Identifier[name=/^(workflowExecutionTimeout|workflowRunTimeout|TERMINATE_EXISTING|TERMINATE_OTHER|TERMINATE_IF_RUNNING)$/]',
          message:
            'This ends a run without its clean-up, and so can leave services down. Bound the work inside the workflow instead.',
        },
      ],
    },
  },
  ...roomNames
    .filter((room) => room !== 'workflows')
    .map((room) => ({
      files: [`src/${room}/**/*.ts`],
      rules: {
        'no-restricted-imports': [
          'error',
          {
            patterns: [
              {
                group: roomNames
                  .filter((other) => other !== room && !rooms[room].may.includes(other))
                  .flatMap((other) => [`../${other}/*`, `../../${other}/*`])
                  // The names under which Temporal knows our runs are pure, and everybody's.
                  .concat('!../workflows/names.js'),
                message: `src/${room} may not import this room (docs/architecture.md, "Rooms").`,
              },
            ],
          },
        ],
      },
    })),
  {
    files: ['src/workflows/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: pureGlobs, message: 'Workflows are deterministic: nothing that touches Node.' },
            {
              group: ['../activities/*'],
              allowTypeImports: true,
              message: 'Workflows know activities by their types alone.',
            },
            {
              group: ['../hosts/*', '../offsite/*', '../config/*', '../mastodon/*', '../temporal/*'],
              allowTypeImports: true,
              message: 'Workflows do no I/O.',
            },
          ],
        },
      ],
    },
  },
);
