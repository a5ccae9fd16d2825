import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { prettyLine } from './logger.ts';

describe('log', () => {
  test('one short line on a terminal, with fields, and nothing that drives the terminal', () => {
    expect(prettyLine('{"level":"warn","time":"2026-01-01T12:00:00.123Z","msg":"lost\\u001b[2J","workload":"w","n":{"a":1}}')).toBe(
      '12:00:00.123 WARN  lost [2J workload=w n={"a":1}\n',
    );
    expect(
      prettyLine('{"level":"error","time":"2026-01-01T12:00:00.123Z","msg":"op","err":{"message":"bad","stack":"Error: bad\\n    at x"}}'),
    ).toBe('12:00:00.123 ERROR op: bad\n    at x\n');
  });

  test('JSON otherwise, complete when the process ends', () => {
    const program = `
      import { createLogger } from ${JSON.stringify(new URL('logger.ts', import.meta.url).href)};
      const logger = createLogger({ level: 'info', terminal: false, version: '1' });
      logger.debug('hidden'); logger.info({ workload: 'w' }, 'shown'); process.exit(0);`;
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    expect(done.stderr).toBe('');
    expect(JSON.parse(done.stdout)).toMatchObject({
      level: 'info',
      version: '1',
      workload: 'w',
      msg: 'shown',
      time: expect.stringMatching(/Z$/),
    });
  });
});
