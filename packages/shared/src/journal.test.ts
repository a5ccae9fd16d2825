import { closeSync, fstatSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isJournal, journalLine } from './journal.ts';

test.each([
  ['fatal', 2],
  ['error', 3],
  ['warn', 4],
  ['info', 6],
  ['debug', 7],
])('%s has the priority %d', (level, priority) => {
  const line = `{"level":"${level}","msg":"x"}\n`;
  expect(journalLine(line)).toBe(`<${priority}>${line}`);
});

test('what is no line of the log, or has a level of its own, stays as it is', () => {
  for (const line of ['plain\n', '{"level":30,"msg":"x"}\n', '{"msg":"\\"level\\":\\"error\\""}\n']) expect(journalLine(line)).toBe(line);
});

test('only the stream that systemd has connected is the journal', () => {
  const fd = openSync('/dev/null', 'w');
  const { dev, ino } = fstatSync(fd, { bigint: true });
  try {
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
    expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino + 1n}` })).toBe(false);
    expect(isJournal(fd, {})).toBe(false);
  } finally {
    closeSync(fd);
  }
  expect(isJournal(1_000_000, { JOURNAL_STREAM: '1:1' })).toBe(false);
});
