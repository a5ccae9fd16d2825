import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readBootId, readRememberedBootId, rememberBootId } from './boot-id.ts';

it('tells what was remembered before, and remembers the present one', () => {
  const root = mkdtempSync(join(tmpdir(), 'relight-boot-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const stateDir = join(root, 'state');
  const told = ['one', 'one', 'two', 'two'].map((bootId) => {
    const before = readRememberedBootId(stateDir);
    rememberBootId(stateDir, bootId);
    return before;
  });
  expect(told).toEqual([null, 'one', 'one', 'two']);
});

it('is the same whenever the kernel is asked', () => {
  expect(readBootId()).toMatch(/^[0-9a-f-]{36}$/);
  expect(readBootId()).toBe(readBootId());
});
