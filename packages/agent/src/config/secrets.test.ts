import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEnvFile, readEnvFiles, redactor } from './secrets.ts';

describe('env files', () => {
  it("follows Compose's rules", () => {
    const text = [
      '\uFEFF# comment',
      '',
      'A=1',
      'export B = two words # comment',
      'C="quoted # no comment\\n$D"  # comment',
      "D='single $A \\n'",
      'E=',
      'F=a#b',
      'G=#b',
      'H=$$x=y\r',
    ].join('\n');
    expect(parseEnvFile(text, 'f')).toEqual({
      A: '1',
      B: 'two words',
      C: 'quoted # no comment\n$D',
      D: 'single $A \\n',
      E: '',
      F: 'a#b',
      G: '#b',
      H: '$$x=y',
    });
  });

  it.each([
    ['A=1\nhf_secret', '/f:2: must be KEY=value; Relight takes nothing over from its own environment'],
    ['A B=1', '/f:1: the part before "=" is not a name'],
    ['RELIGHT_RUN=1', '/f:1: RELIGHT_RUN begins with RELIGHT_, which is reserved'],
    ['=1', '/f:1: the part before "=" is not a name'],
    ['A="secret', '/f:1: the value of A has a quote that is never closed, or text behind it'],
    ["A='x' y", '/f:1: the value of A has a quote that is never closed, or text behind it'],
  ])('refuses %j without showing a value', (text, message) => {
    expect(() => parseEnvFile(text, '/f')).toThrow(message);
  });

  it('reads several, the later wins; a missing one is named', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'relight-env-'));
    try {
      writeFileSync(join(directory, 'a'), 'A=1\nB=1');
      writeFileSync(join(directory, 'b'), 'B=2');
      await expect(readEnvFiles([join(directory, 'a'), join(directory, 'b')])).resolves.toEqual({ A: '1', B: '2' });
      await expect(readEnvFiles([join(directory, 'c')])).rejects.toMatchObject({
        code: 'config-unreadable',
        message: `env_file ${directory}/c cannot be read: ENOENT`,
      });
      await expect(readEnvFiles(['/dev/zero'])).rejects.toThrow('env_file /dev/zero cannot be read: it is longer than 4.0 MiB');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('redaction', () => {
  it('replaces secrets, the longest first, and leaves short values alone', () => {
    const redact = redactor(['true', 'abcdef', 'abcdef.ghi', '(.*)+?$']);
    expect(redact('true abcdef.ghi abcdef! (.*)+?$')).toBe('true [redacted] [redacted]! [redacted]');
  });

  it('leaves no secret in any text', () => {
    const secret = fc.string({ minLength: 6, maxLength: 12 }).filter((text) => !'[redacted][redacted]'.includes(text));
    fc.assert(
      fc.property(fc.array(secret, { minLength: 1, maxLength: 4 }), fc.array(fc.string()), (secrets, between) => {
        const text = between.join(secrets[0]) + secrets.join('');
        const marks = redactor(secrets)(text).split('[redacted]');
        for (const part of marks) for (const one of secrets) expect(part).not.toContain(one);
      }),
    );
  });

  it('does nothing without secrets', () => {
    expect(redactor([])('text')).toBe('text');
  });
});
