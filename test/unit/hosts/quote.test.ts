import fc from 'fast-check';
import { execaSync } from 'execa';
import { describe, expect, it } from 'vitest';
import { Failure } from '../../../src/errors.js';
import { shellLine } from '../../../src/hosts/quote.js';

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom(...`'"\`$\\!*?[]{}()<>|&;#~=%^ \t\n\r-`), maxLength: 40 }),
  fc.constantFrom(
    '',
    '-',
    '--',
    '-n',
    '-e',
    "'",
    "'''",
    '\n',
    '$(id)',
    '~',
    'ünï🦣',
    '\u2028',
    '\x80',
    '\x1b[0m',
  ),
);
const words = fc.array(
  hostile.filter((word) => !word.includes('\0') && !/\p{Surrogate}/u.test(word)),
  { maxLength: 8 },
);

describe('a command line', () => {
  it.each(['/bin/sh', '/bin/bash'])(
    'is split by %s into the argv it was made of',
    (shell) => {
      fc.assert(
        fc.property(fc.array(words, { minLength: 1, maxLength: 30 }), (argvs) => {
          const script = argvs.map((argv) => shellLine(['printf', '%s\\0', ...argv, 'end'])).join('\n');
          const options = { stdin: 'ignore', encoding: 'buffer', stripFinalNewline: false } as const;
          const { stdout } = execaSync(shell, ['-c', script], options);
          const expected = argvs.flatMap((argv) => [...argv, 'end']).map((word) => `${word}\0`);
          expect(Buffer.from(stdout).toString('hex')).toBe(Buffer.from(expected.join('')).toString('hex'));
        }),
        { numRuns: 40 },
      );
    },
    60_000,
  );

  it('stays readable where nothing needs quotes', () => {
    expect(shellLine(['pg_dump', '--file=/srv/x', 'a b'])).toBe(`pg_dump '--file=/srv/x' 'a b'`);
  });

  it.each([[[]], [['']], [['a=b']], [['echo', 'a\0b']], [['echo', '\ud800']]])('refuses %j', (argv) => {
    expect(() => shellLine(argv)).toThrow(Failure);
  });
});
