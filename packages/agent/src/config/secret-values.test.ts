import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SecretValues } from './secret-values.ts';

describe('SecretValues', () => {
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'relight-secrets-'));
    file = join(directory, 'secrets.env');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('values vanish from text, bytes and data; everything else stays as it is', async () => {
    writeFileSync(file, 'TOKEN=hunter2-hunter2\nPORT=8080\nKEY="line-one-secret\\nline-two-secret"\n');
    const secrets = new SecretValues([file]);
    await secrets.load();
    expect(secrets.text('token hunter2-hunter2 on 8080')).toBe('token [redacted] on 8080');
    expect(secrets.text('> line-two-secret')).toBe('> [redacted]');
    const odd = Buffer.from([0xff, 0x00, ...Buffer.from('hunter2-hunter2'), 0xfe]);
    expect(Buffer.from(secrets.bytes(odd))).toEqual(Buffer.from([0xff, 0x00, ...Buffer.from('[redacted]'), 0xfe]));
    const plain = Buffer.from('nothing here');
    expect(secrets.bytes(plain)).toBe(plain);
    expect(secrets.data({ a: ['x hunter2-hunter2'], n: 1, z: null })).toEqual({ a: ['x [redacted]'], n: 1, z: null });
  });

  test('what was secret once stays secret after the file has changed or gone', async () => {
    writeFileSync(file, 'TOKEN=first-secret\n');
    const secrets = new SecretValues([file]);
    await secrets.load();
    writeFileSync(file, 'TOKEN=second-secret\n');
    await secrets.load();
    rmSync(file);
    await expect(secrets.load()).rejects.toThrow('cannot be read');
    expect(secrets.text('first-secret second-secret')).toBe('[redacted] [redacted]');
  });

  test("what any workload keeps secret the host's own commands do not print, whenever it became known", async () => {
    const host = new SecretValues([]);
    const workload = new SecretValues([file], host);
    writeFileSync(file, 'TOKEN=first-secret\n');
    await workload.load();
    workload.learn(['learnt-secret']);
    expect(host.text('first-secret learnt-secret')).toBe('[redacted] [redacted]');
    host.learn(['of-the-host']);
    expect(workload.text('of-the-host')).toBe('of-the-host');
  });
});
