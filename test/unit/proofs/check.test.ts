import { expect, test } from 'vitest';
import { Failure } from '../../../src/errors.js';
import { Sample } from '../../../src/proofs/files-media.js';
import { record } from '../offsite/memory-offsite.js';
import { firstOf, NotSeen, prove, proveAll, Wrong } from '../../../src/proofs/check.js';

const fails = (error: Error) => () => Promise.reject(error);

test('what a look sees, what it finds wrong, and what is nobody’s finding', async () => {
  expect(await prove('rows', () => Promise.resolve('all there'))).toMatchObject({
    ...{ name: 'rows', passed: true, detail: 'all there' },
  });
  expect(await prove('rows', fails(new Wrong('two are missing')))).toMatchObject({
    ...{ passed: false, detail: 'two are missing' },
  });
  const damage = new Failure('PartInvalid', 'the index is cut off');
  expect(await prove('index', fails(damage))).toMatchObject({ passed: false, detail: damage.message });
  const unreachable = new Failure('HostUnreachable', 'no answer');
  await expect(prove('rows', fails(unreachable))).rejects.toBe(unreachable);
  const defect = new TypeError('undefined is not a function');
  await expect(prove('rows', fails(defect))).rejects.toBe(defect);
});

test('several looks: in their order, what could not be seen apart, none begun after one that threw', async () => {
  const slow = () => new Promise<string>((resolve) => setTimeout(() => resolve('late'), 20));
  const { checks, notProven } = await proveAll(
    [
      { name: 'first', look: slow },
      { name: 'second', look: fails(new NotSeen('no amcheck')) },
      { name: 'third', look: () => Promise.resolve('seen') },
    ],
    2,
  );
  expect(checks.map(({ name }) => name)).toEqual(['first', 'third']);
  expect(notProven).toEqual(['second: no amcheck']);

  const begun: string[] = [];
  const looks = ['one', 'two', 'three'].map((name) => ({
    name,
    look: () => {
      begun.push(name);
      return Promise.reject(new Failure('HostUnreachable', name));
    },
  }));
  await expect(proveAll(looks)).rejects.toThrow('one');
  expect(begun).toEqual(['one']);
});

test('a list names ten', () => {
  const names = Array.from({ length: 12 }, (_, at) => `t${String(at)}`);
  expect(firstOf(names)).toBe('t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 2 more');
  expect(firstOf(['a', 'b'])).toBe('a, b');
});

test('a file that is too large for a sample costs the others nothing', () => {
  const sizes = (...all: number[]) => {
    const sample = new Sample(10);
    for (const [at, size] of all.entries()) sample.offer({ ...record(`file ${String(at)}`, ''), size });
    return sample.chosen().map((one) => one.size);
  };
  const large = 600 << 20;
  expect(sizes(1, large, 2)).toEqual([1, 2]);
  expect(sizes(large, 1, 2)).toEqual([1, 2]);
  expect(sizes(large, large)).toEqual([large]);
});
