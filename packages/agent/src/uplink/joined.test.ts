import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { joinedFile, readJoined } from './joined.ts';

const stateDir = (): string => mkdtempSync(join(tmpdir(), 'relight-joined-'));

test('without a file, and where the state directory is none, this host has joined no collector', () => {
  const directory = stateDir();
  expect(readJoined(joinedFile(directory))).toBeNull();
  writeFileSync(join(directory, 'a-file'), '');
  expect(readJoined(joinedFile(join(directory, 'a-file', 'state')))).toBeNull();
});

test('what cannot be read is named, with what to do', () => {
  const file = joinedFile(stateDir());
  mkdirSync(file);
  expect(() => readJoined(file)).toThrow(`${file} cannot be read: EISDIR`);
  const damaged = joinedFile(stateDir());
  // It holds a token, and what a parser says of a text quotes it.
  writeFileSync(damaged, '{"token": hunter2}');
  expect(() => readJoined(damaged)).toThrow(
    expect.objectContaining({
      code: 'config-unreadable',
      message: `${damaged} cannot be read: it is no JSON`,
      advice: 'Join anew: relight-agent join.',
    }),
  );
});
