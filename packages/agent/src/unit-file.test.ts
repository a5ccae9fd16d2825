/** What systemd must be told so that the agent, the last supervisor of its host, is always started again. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startAllowedMs } from './control/await-config.ts';

/** `KEY=value` by section, of a key given twice all values; comments left out. A key that systemd finds in a wrong section does not count. */
function settings(file: string): Record<string, Record<string, string>> {
  const sections: Record<string, Record<string, string>> = {};
  let section: Record<string, string> = {};
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (name !== undefined) section = sections[name] ??= {};
    const [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) continue;
    const before = section[key];
    section[key] = before === undefined ? value : `${before} ${value}`;
  }
  return sections;
}

const packages = join(import.meta.dirname, '../..');

test.each(['agent/systemd/relight-agent.service', 'collector/systemd/relight-collector.service'])(
  'in a crash loop systemd never gives up: %s',
  (file) => {
    const { Unit, Service, Install } = settings(join(packages, file));
    // systemd's default is five starts in ten seconds, and then `start-limit-hit` for ever.
    expect(Unit).toMatchObject({ StartLimitIntervalSec: '0' });
    expect(Service).toMatchObject({ Restart: 'always' });
    expect(Number(Service?.['RestartSec'])).toBeGreaterThanOrEqual(1);
    expect(Number(Service?.['RestartSec'])).toBeLessThanOrEqual(10);
    expect(Install).toHaveProperty('WantedBy');
  },
);

test('the agent: a hang ends it for good, and nothing but itself; it waits for its configuration, and for no engine', () => {
  const { Unit, Service } = settings(join(packages, 'agent/systemd/relight-agent.service'));
  expect(Number(Service?.['TimeoutStartSec'])).toBe(startAllowedMs / 1_000);
  expect(Service).toMatchObject({ Type: 'notify', NotifyAccess: 'all', WatchdogSignal: 'SIGKILL', KillMode: 'process', RestartSec: '5' });
  expect(Service).toMatchObject({ Environment: 'MALLOC_ARENA_MAX=1 HOME=/root' });
  // Nothing but what every machine has. `$$` is systemd's `$`: the shell reads the variable, as whole words alone would be read by systemd.
  expect(Service).toMatchObject({ ExecReload: "/bin/sh -c 'kill -HUP $$MAINPID'" });
  // A look every ten seconds must fit into it several times.
  expect(Number(Service?.['WatchdogSec'])).toBeGreaterThanOrEqual(30);
  expect(Unit).toMatchObject({ After: 'docker.service network-online.target' });
  // A file that is away for a moment, or not made yet, is no failure to be repeated every five seconds.
  expect(Service?.['ExecStart']).toBe('/usr/bin/relight-agent run --config /etc/relight/agent.yaml --wait-for-config');
  // Either of them: a unit whose condition does not hold at an automatic restart is never started again.
  expect(Unit).toMatchObject({ ConditionPathExists: '|/etc/relight/agent.yaml |/var/lib/relight/identity.json' });
  for (const key of ['Requires', 'BindsTo', 'PartOf']) expect(Unit).not.toHaveProperty(key);
  // Whatever makes a mount namespace keeps the FUSE mounts of workloads busy.
  for (const key of ['PrivateTmp', 'ProtectSystem', 'ProtectHome', 'PrivateDevices', 'ProtectProc', 'ReadOnlyPaths', 'PrivateMounts'])
    expect(Service).not.toHaveProperty(key);
});

test('the collector: a hang ends it; the watchdog leaves time for a round of work every ten seconds and for a disk that stalls', () => {
  const { Service } = settings(join(packages, 'collector/systemd/relight-collector.service'));
  expect(Service).toMatchObject({ Type: 'notify', NotifyAccess: 'all', WatchdogSignal: 'SIGKILL' });
  expect(Number(Service?.['WatchdogSec'])).toBeGreaterThanOrEqual(60);
  expect(Number(Service?.['WatchdogSec'])).toBeLessThanOrEqual(120);
});
