import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { leavePermit, leavePermitFor, redeemPermit } from '../../../src/records/permits.js';

const permit = { what: 'prune', instance: 'example.social', choices: ['vault'] };
const run = randomUUID();

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'permafrost-permits-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const minutes = (count: number) => new Date(Date.now() + count * 60_000);
const refused = { type: 'Refused', next: expect.stringContaining('permafrost command') };

test('is good for one run and all of its attempts, and for nobody else', async () => {
  const name = await leavePermit(state, permit);
  await redeemPermit(state, name, permit, run);
  await redeemPermit(state, name, permit, run, minutes(600)); // another attempt, much later
  await expect(redeemPermit(state, name, permit, randomUUID())).rejects.toMatchObject(refused);
});

test('tells each attempt of its run what no input may say', async () => {
  const target = { kind: 'ssh', address: 'new.example' };
  const name = await leavePermit(state, { ...permit, target });
  expect(await redeemPermit(state, name, permit, run)).toEqual(target);
  expect(await redeemPermit(state, name, permit, run, minutes(600))).toEqual(target);
});

test('is left out only where the cluster knows its clients, and never when it says where to', async () => {
  const open = { state, temporal: { kind: 'address', authenticatesClients: true } };
  expect(await leavePermitFor(open, permit)).toBe('none');
  expect(await leavePermitFor(open, { ...permit, target: {} })).toMatch(/^[0-9a-f]{48}$/);
  expect(await leavePermitFor({ state, temporal: { kind: 'embedded' } }, permit)).toMatch(/^[0-9a-f]{48}$/);
});

test('of many that ask at once, one run gets it', async () => {
  const name = await leavePermit(state, permit);
  const ended = await Promise.allSettled(
    Array.from({ length: 20 }, () => redeemPermit(state, name, permit, randomUUID())),
  );
  expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test.each([
  ['another verb', { ...permit, what: 'restore' }],
  ['another instance', { ...permit, instance: 'other.example' }],
  ['other choices', { ...permit, choices: ['vault', 'cellar'] }],
])('is no permit for %s, and is used up by asking', async (_what, wanted) => {
  const name = await leavePermit(state, permit);
  await expect(redeemPermit(state, name, wanted, run)).rejects.toMatchObject(refused);
  await expect(redeemPermit(state, name, permit, run)).rejects.toMatchObject(refused);
});

test('is good for ten minutes', async () => {
  const name = await leavePermit(state, permit);
  await expect(redeemPermit(state, name, permit, run, minutes(11))).rejects.toMatchObject(refused);
  const ahead = await leavePermit(state, permit, minutes(60)); // a clock that was wrong
  await expect(redeemPermit(state, ahead, permit, run)).rejects.toMatchObject(refused);
});

test.each(['', '../../etc/passwd', '0'.repeat(48), '../permits/x', 'x\0'])('%j is none', async (name) => {
  await expect(redeemPermit(state, name, permit, run)).rejects.toMatchObject({ type: 'Refused' });
});

test("lies where only Permafrost's user looks, and is swept", async () => {
  const folder = join(state, 'permits');
  await leavePermit(state, permit, minutes(-30));
  const [file = ''] = readdirSync(folder);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
  await leavePermit(state, permit, minutes(30));
  expect(readdirSync(folder)).not.toContain(file);
});
