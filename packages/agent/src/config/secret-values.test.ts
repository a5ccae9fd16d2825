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

  test('of the end of a longer text the first line may begin in the middle of a secret, the others are whole', () => {
    const secrets = new SecretValues([], null, []);
    secrets.learn(['hunter2-hunter2']);
    const tail = (text: string, continued: boolean): string => secrets.tail(Buffer.from(text), continued);
    expect(tail('ter2-hunter2 said\nter2-hunter2 hunter2-hunter2', true)).toBe('[redacted] said\nter2-hunter2 [redacted]');
    expect(tail('ter2-hunter2 hunter2-hunter2\n', false)).toBe('ter2-hunter2 [redacted]\n');
    expect([tail('ter2', true), tail('', true), tail('no secret\r\n', false)]).toEqual(['[redacted]', '', 'no secret\r\n']);
  });

  test('a value is found as logs of JSON write it, and line by line also when its lines end with \\r\\n', async () => {
    writeFileSync(file, 'TOKEN=\'pass"word\\word\'\nKEY="first-half\\r\\nsecond-half"\nNAME=größe-µ-geheim\n');
    const secrets = new SecretValues([file]);
    await secrets.load();
    const redacted = (text: string): string => Buffer.from(secrets.bytes(Buffer.from(text))).toString();
    for (const value of ['pass"word\\word', 'first-half\r\nsecond-half', 'größe-µ-geheim']) {
      const line = JSON.stringify({ msg: value });
      expect([redacted(line), secrets.text(line)]).toEqual(['{"msg":"[redacted]"}', '{"msg":"[redacted]"}']);
      expect(redacted(`as it is: ${value}`)).toBe('as it is: [redacted]');
    }
    expect([redacted('first-half'), redacted('> second-half')]).toEqual(['[redacted]', '> [redacted]']);
  });

  test('what a pattern matches vanishes as well, beside the values', async () => {
    writeFileSync(file, 'TOKEN=hunter2-hunter2\n');
    const secrets = new SecretValues([file], null, ['hf_[A-Za-z0-9]+']);
    await secrets.load();
    expect(secrets.text('hunter2-hunter2 hf_abc')).toBe('[redacted] [redacted]');
    expect(secrets.data({ deep: ['hf_abc'] })).toEqual({ deep: ['[redacted]'] });
    expect(Buffer.from(secrets.bytes(Buffer.from('a hunter2-hunter2\nb hf_abc\n'))).toString()).toBe('a [redacted]\nb [redacted]\n');
    expect(new SecretValues([], null, ['hf_[A-Za-z0-9]+']).text('hf_abc')).toBe('[redacted]');
  });

  test('of a line that was cut off, what may be the beginning of a secret goes as well', async () => {
    writeFileSync(file, 'TOKEN=hunter2 hunter2\n');
    const [values, patterns] = [new SecretValues([file]), new SecretValues([], null, ['AKIA[0-9A-Z]{16}'])];
    await values.load();
    const cut = (secrets: SecretValues, text: string): string => Buffer.from(secrets.bytes(Buffer.from(text), true)).toString();
    expect(cut(values, 'token=hunter2 hun')).toBe('token=[redacted]');
    expect(cut(values, 'token=none')).toBe('token=none');
    expect(cut(patterns, 'a key AKIA0123')).toBe('a key [redacted]');
    expect(Buffer.from(patterns.bytes(Buffer.from('a key AKIA0123'))).toString()).toBe('a key AKIA0123');
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
