import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RelightError } from './errors.ts';
import { ManualClock } from './manual-clock.ts';
import { refusalText, tellingWhy } from './start-refusal.ts';

const check = 'relight-agent check';

test('what is refused, how much of it, and the next step are one short line', () => {
  const invalid = new RelightError('config-invalid', 'the name of the socket is too long\nby 7 bytes');
  expect(refusalText(invalid, check)).toBe(
    'does not start: the name of the socket is too long (and 1 more). Correct it, and look at it: relight-agent check',
  );
  const taken = new RelightError('already-running', 'the state directory is in use', { advice: 'Stop the other one.' });
  expect(refusalText(taken, check)).toBe('does not start: the state directory is in use. Stop the other one.');
  expect(refusalText(new RelightError('config-invalid', 'x'.repeat(10_000)), check).length).toBeLessThan(300);
});

test('what stands in a file that only root may read is not told to everybody who may see the status of a service', () => {
  const message = `a.yaml:4:14: command: has a quote that is never closed: train.py --hf-token hf_abc123 'x\na.yaml:5:1: x`;
  const data = { problems: 2, places: ['a.yaml:4:14: command', 'a.yaml:5:1'] };
  expect(refusalText(new RelightError('config-invalid', message, { data }), check)).toBe(
    'does not start: a.yaml:4:14: command: is not valid (and 1 more). See why, and correct it: relight-agent check',
  );
});

test('systemd has it before the process ends, by the socket that the service took out of its environment; a defect is no refusal; who has served has ended', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'relight-refusal-'));
  const program = join(directory, 'systemd-notify');
  writeFileSync(program, '#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> "$0.log"\n');
  chmodSync(program, 0o755);
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/run/notify', PATH: `${directory}:/usr/bin:/bin` };
  const surroundings = { env, clock: new ManualClock(), check };
  const refused = new RelightError('already-running', 'in use', { advice: 'Wait.' });
  await expect(
    tellingWhy(async () => {
      delete env['NOTIFY_SOCKET'];
      throw refused;
    }, surroundings),
  ).rejects.toBe(refused);
  const told = '/run/notify STATUS=does not start: in use. Wait.\n';
  expect(readFileSync(`${program}.log`, 'utf8')).toBe(told);
  env['NOTIFY_SOCKET'] = '/run/notify';
  await expect(tellingWhy(async () => Promise.reject(new TypeError('x')), surroundings)).rejects.toThrow(TypeError);
  expect(await tellingWhy(async () => 7, surroundings)).toBe(7);
  expect(readFileSync(`${program}.log`, 'utf8')).toBe(told);
  await expect(
    tellingWhy(async (serves) => {
      serves();
      throw new RelightError('store-failed', 'nothing can be stored', { advice: 'Look at the disk.' });
    }, surroundings),
  ).rejects.toThrow('stored');
  expect(readFileSync(`${program}.log`, 'utf8')).toBe(
    `${told}/run/notify STATUS=ended with an error: nothing can be stored. Look at the disk.\n`,
  );
});
