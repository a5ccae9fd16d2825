import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ManualClock } from '@relight/shared/manual-clock';
import { Systemd } from '@relight/shared/systemd';
import { expect, it } from 'vitest';
import { eventually } from '../../../../test/support/wait.ts';
import { awaitConfig, startAllowedMs } from './await-config.ts';
import { temporaryDirectory, writeTo } from './recorded-io.ts';

it('a host that has waited for its configuration has as long for its start as one that had it, and the usual watchdog afterwards', async () => {
  const directory = temporaryDirectory();
  const program = writeTo(directory, 'systemd-notify', '#!/bin/sh\necho "$*" >> "$0.log"\n');
  chmodSync(program, 0o755);
  const told = (): string[] => (existsSync(`${program}.log`) ? readFileSync(`${program}.log`, 'utf8').trim().split('\n') : []);
  const env = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '60000000', PATH: `${directory}:/usr/bin:/bin` };
  const clock = new ManualClock();
  const file = join(directory, 'agent.yaml');
  let over = false;
  const waited = awaitConfig(file, { clock, env, logger: { info: () => {}, warn: () => {} } }).then(() => (over = true));
  await eventually(() => expect(told()).toHaveLength(1), { what: 'that it waits to be told' });
  writeFileSync(file, 'version: 1\n');
  await eventually(
    () => {
      clock.advance(1_000);
      expect(over).toBe(true);
    },
    { what: 'the configuration to be seen' },
  );
  await waited;
  expect(told().at(-1)).toBe(`WATCHDOG=1 WATCHDOG_USEC=${startAllowedMs * 1_000}`);
  new Systemd({ env, clock, onError: () => {} }).ready('supervising');
  await eventually(() => expect(told().at(-1)).toBe('READY=1 STATUS=supervising WATCHDOG_USEC=60000000'), { what: 'ready to be told' });
});
