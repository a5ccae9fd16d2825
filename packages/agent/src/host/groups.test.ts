import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '@relight/shared/clock';
import { findGroupId, groupId } from './groups.ts';

const file = join(mkdtempSync(join(tmpdir(), 'relight-groups-')), 'group');
writeFileSync(file, 'root:x:0:\nadm:x:4:syslog,ray\nbroken:x::\n');

test('a group of the file is not asked for elsewhere', () => {
  const ask = (name: string): string => {
    throw new Error(`asked for ${name}`);
  };
  expect(groupId('adm', { file, ask })).toBe(4);
  expect(groupId('root', { file, ask })).toBe(0);
});

test('a group of a directory service, none, and one that is not understood', () => {
  const ask = (name: string): string | null => (name === 'research' ? 'research:*:70012:ray\n' : null);
  expect(groupId('research', { file, ask })).toBe(70_012);
  expect(groupId('ad', { file, ask })).toBeNull();
  expect(groupId('broken', { file, ask })).toBeNull();
  expect(groupId('adm', { file: `${file}.none`, ask })).toBeNull();
});

test('what is an option or another line to getent is no name', () => {
  const ask = (): string => '--help:x:1:\nx:y:2:\n';
  expect(groupId('--help', { file, ask })).toBeNull();
  expect(groupId('x:y', { file, ask })).toBeNull();
});

test('this host has a group for root', () => {
  expect(groupId('root')).toBe(0);
  expect(groupId('no-group-of-this-name')).toBeNull();
});

test('it is found as well by who asks beside other work', async () => {
  expect(await findGroupId('root', systemClock)).toBe(0);
  expect(await findGroupId('no-group-of-this-name', systemClock)).toBeNull();
  expect(await findGroupId('--help', systemClock)).toBeNull();
});
