import { expect, test } from 'vitest';
import { belongUp } from '../../../src/mastodon/services.js';

const unit = (name: string, enabled: boolean) => ({ name, enabled, active: false });

test('without a lease, the units belong up that are enabled or ran at the last one', () => {
  const units = [unit('web', true), unit('sidekiq', false), unit('pull', false)];
  expect(belongUp({ kind: 'systemd', units }, [])).toEqual(['web']);
  expect(belongUp({ kind: 'systemd', units }, ['sidekiq', 'gone'])).toEqual(['web', 'sidekiq']);
});

test('and all of them where none is known to', () => {
  const units = [unit('web', false), unit('sidekiq', false)];
  expect(belongUp({ kind: 'systemd', units }, [])).toEqual(['web', 'sidekiq']);
});
