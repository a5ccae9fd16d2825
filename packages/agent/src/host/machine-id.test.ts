import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sameMachine } from '@relight/shared/machine';
import { readMachineId } from './machine-id.ts';

const system = '8f3c1b7ad2e94b6c9a51f0e2d7c4b836\n';
const hardware = '4C4C4544-0051-3110-8052-B4C04F4D3232\n';

function machine(files: Record<string, string>): { root: string; stateDir: string } {
  const root = mkdtempSync(join(tmpdir(), 'relight-machine-'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return { root, stateDir: join(root, 'state') };
}

describe('machine id', () => {
  test('combines system and hardware, and reveals neither', () => {
    const id = readMachineId(machine({ 'etc/machine-id': system, 'sys/class/dmi/id/product_uuid': hardware }));
    expect(id).toMatch(/^[0-9a-f]{16}\.[0-9a-f]{16}$/);
    expect(id).not.toContain(system.trim().slice(0, 16));
  });

  test('falls back to the id of dbus', () => {
    const dbus = readMachineId(machine({ 'var/lib/dbus/machine-id': system }));
    expect(dbus).toBe(readMachineId(machine({ 'etc/machine-id': system })));
    expect(dbus).toMatch(/^[0-9a-f]{16}\.-$/);
  });

  test.each(['uninitialized\n', '', '00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'])(
    'does not take %j for an id',
    (worthless) => {
      const id = readMachineId(machine({ 'etc/machine-id': worthless, 'sys/class/dmi/id/product_uuid': hardware }));
      expect(id).toMatch(/^-\.[0-9a-f]{16}$/);
    },
  );

  test('without any id, that of the boot included, keeps a random one', () => {
    const none = machine({});
    const id = readMachineId(none);
    expect(readMachineId(none)).toBe(id);
    expect(readMachineId(machine({}))).not.toBe(id);
    expect(readFileSync(join(none.stateDir, 'machine-id'), 'utf8')).toMatch(/^[0-9a-f-]{36}\n$/);
  });

  test('without any id is the boot that first asked, over reboots with the state directory, and within the boot without it', () => {
    const boot = 'proc/sys/kernel/random/boot_id';
    const none = machine({ [boot]: '2d6e1a5c-7a3f-4b57-9a65-3f0c1c3b7e21\n' });
    const id = readMachineId(none);
    rmSync(none.stateDir, { recursive: true });
    expect(readMachineId(none)).toBe(id);
    writeFileSync(join(none.root, boot), '9b1c5f0e-0d7d-4c5e-8a53-6f4f5a1d2c3b\n');
    expect(readMachineId(none)).toBe(id);
    rmSync(none.stateDir, { recursive: true });
    expect(readMachineId(none)).not.toBe(id);
  });

  test('compares what both sides know', () => {
    expect(sameMachine('a.b', 'a.b')).toBe(true);
    expect(sameMachine('a.b', 'a.-')).toBe(true);
    expect(sameMachine('a.b', 'a.c')).toBe(false);
    expect(sameMachine('a.b', 'c.b')).toBe(false);
    expect(sameMachine('a.-', '-.b')).toBe(false);
  });
});
