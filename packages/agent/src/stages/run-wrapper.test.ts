import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../../../test/support/wait.ts';
import { commandArgv, parseStatus, wrapperArgv } from './run-wrapper.ts';

/** Every shell that an image may have as its `sh`. */
const shells = [
  ['dash', ['dash']],
  ['bash as sh', ['bash', '--posix']],
  ['busybox ash', ['busybox', 'ash']],
] as const;

let home = '';
let count = 0;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'relight-wrapper-'));
});
afterAll(() => rmSync(home, { recursive: true }));

function files(): { log: string; status: string } {
  const base = join(home, String((count += 1)));
  const made = { log: `${base}.log`, status: `${base}.status` };
  for (const path of Object.values(made)) writeFileSync(path, '');
  return made;
}

/** What `docker exec` would do, with this shell in the place of `sh`. */
function launch(shell: readonly string[], argv: readonly string[], directory = '') {
  const made = files();
  const [, ...rest] = wrapperArgv(made, directory, argv);
  const [program = '', ...first] = shell;
  const child = spawn(program, [...first, ...rest], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  let own = '';
  child.stdout.on('data', (chunk: Buffer) => (own += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (own += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  return {
    pid: child.pid ?? 0,
    /** Resolves with the log when it holds `text`. */
    async said(text: string) {
      return waitFor(
        () => {
          const log = readFileSync(made.log, 'utf8');
          return log.includes(text) && log;
        },
        { what: `the command to say ${text}` },
      );
    },
    async end() {
      const code = await ended;
      return { code, own, log: readFileSync(made.log, 'utf8'), status: readFileSync(made.status, 'utf8') };
    },
  };
}

describe.each(shells)('wrapper under %s', (_, shell) => {
  it('keeps output and exit status', async () => {
    expect(await launch(shell, ['sh', '-c', 'echo out; echo err >&2; exit 7']).end()).toEqual({
      code: 7,
      own: '',
      log: 'out\nerr\n',
      status: '7\n',
    });
  });

  it('gives the command no input, no extra descriptor, and lets it be a program with the name of a builtin', async () => {
    const list =
      'if read -r x; then echo "input: $x"; fi; for f in 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$f ] && echo "fd $f"; done; echo end';
    expect((await launch(shell, ['dash', '-c', list]).end()).log).toBe('end\n');
    expect((await launch(shell, ['test', 'a', '=', 'a']).end()).status).toBe('0\n');
    const wrong = await launch(shell, ['exit', '3']).end();
    expect(wrong.status).toBe('127\n');
    expect(wrong.log).toContain('exit');
  });

  it('writes the status after a signal to the group, and says nothing in the log', async () => {
    const run = launch(shell, ['dash', '-c', 'echo ready; exec sleep 60']);
    await run.said('ready');
    process.kill(-run.pid, 'SIGTERM');
    expect(await run.end()).toMatchObject({ log: 'ready\n', status: '143\n', own: '' });
  });

  it.each(['SIGINT', 'SIGQUIT', 'SIGHUP'] as const)('leaves the default action of %s to the command', async (name) => {
    const run = launch(shell, ['dash', '-c', 'ulimit -c 0; echo ready; exec sleep 60']);
    await run.said('ready');
    process.kill(-run.pid, name);
    const { status, log } = await run.end();
    expect(status).toBe(`${{ SIGINT: 130, SIGQUIT: 131, SIGHUP: 129 }[name]}\n`);
    expect(log).toBe('ready\n');
  });

  it('lets the command finish its own handling of a signal', async () => {
    const run = launch(shell, ['dash', '-c', 'trap "echo caught; exit 5" TERM; echo ready; while :; do sleep 0.02; done']);
    await run.said('ready');
    process.kill(-run.pid, 'SIGTERM');
    const { status, log } = await run.end();
    expect(status).toBe('5\n');
    expect(log).toContain('caught\n');
  });

  it('reports SIGKILL of the command alone', async () => {
    const run = launch(shell, ['dash', '-c', 'echo $$; exec sleep 60']);
    process.kill(Number(await run.said('\n')), 'SIGKILL');
    expect(await run.end()).toMatchObject({ status: '137\n', own: '' });
  });

  it('does not run the command when its files are not there', async () => {
    const [, ...rest] = wrapperArgv({ log: join(home, 'none.log'), status: join(home, 'none.status') }, '', ['touch', join(home, 'ran')]);
    const [program, ...first] = shell;
    expect(spawnSync(program, [...first, ...rest]).status).toBe(125);
    expect(existsSync(join(home, 'ran'))).toBe(false);
    expect(existsSync(join(home, 'none.log'))).toBe(false);
  });

  it('makes the directory first, and shows why it could not', async () => {
    const directory = join(home, `made-${count}`, 'with space');
    expect((await launch(shell, ['test', '-d', directory], directory).end()).status).toBe('0\n');
    const failed = await launch(shell, ['echo', 'ran'], '/proc/nowhere/x').end();
    expect(failed.status).toBe('1\n');
    expect(failed.log).toContain('/proc/nowhere');
    expect(failed.log).not.toContain('ran\n');
  });

  it('does not change an exported variable with a name of its own', async () => {
    const { log } = await launch(shell, ['dash', '-c', 'printenv relight_code || echo unset']).end();
    expect(log).toBe('unset\n');
  });
});

describe('text reaches the shell byte for byte', () => {
  const setup =
    'mkdir -p /home/ray/.ssh && gcloud compute project-info describe --format="value(commonInstanceMetadata.items[?key==\\"ssh-keys\\"].value)" > /home/ray/.ssh/authorized_keys && chmod 600 /home/ray/.ssh/authorized_keys';

  function withStub(run: (bin: string) => string[]): Buffer {
    const bin = mkdtempSync(join(home, 'bin-'));
    const seen = join(bin, 'argv');
    for (const name of ['gcloud', 'mkdir', 'chmod']) {
      const path = join(bin, name);
      writeFileSync(path, `#!/bin/sh\nprintf '%s\\0' ${name} "$@" >> ${seen}\n`);
      chmodSync(path, 0o755);
    }
    const [program = '', ...args] = run(bin);
    spawnSync(program, args, { env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: home } });
    return readFileSync(seen);
  }
  const wrapped = (shell: readonly string[], text: string): string[] => {
    const [, ...rest] = wrapperArgv(files(), '', commandArgv({ text }, null));
    return [...shell, ...rest];
  };

  it.each(shells)('the setup command of the field, under %s', (_, shell) => {
    const target = join(home, 'ray');
    mkdirSync(join(target, '.ssh'), { recursive: true });
    const text = setup.replaceAll('/home/ray', target);
    const expected = withStub(() => ['bash', '-c', text]);
    expect(expected.toString()).toContain('--format=value(commonInstanceMetadata.items[?key=="ssh-keys"].value)\0');
    expect(withStub(() => wrapped(shell, text))).toEqual(expected);
  });

  it('random text, compared with bash itself', () => {
    const piece = fc.constantFrom(
      "'",
      '"',
      '$',
      '`',
      '\\',
      '\n',
      '!',
      ' ',
      '*',
      '~',
      '#',
      '&',
      ';',
      '(',
      'é',
      '日本',
      '🔥',
      'a',
      'x y',
      '$HOME',
      '-n',
    );
    const argument = fc.array(piece, { maxLength: 8 }).map((parts) => parts.join(''));
    const quote = (value: string): string => `'${value.replaceAll("'", "'\\''")}'`;
    fc.assert(
      fc.property(fc.array(argument, { minLength: 1, maxLength: 4 }), fc.nat(2), fc.nat(3), (args, which, newlines) => {
        const out = join(home, 'argv');
        const text = `printf '%s\\0' ${args.map(quote).join(' ')} > ${out}${'\n'.repeat(newlines)}`;
        const [program, ...rest] = wrapped(shells[which]?.[1] ?? ['sh'], text);
        spawnSync(program ?? '', rest);
        expect(readFileSync(out, 'utf8')).toBe(args.map((arg) => `${arg}\0`).join(''));
      }),
      { numRuns: 60 },
    );
  });

  it('random text that is no quoting at all does the same as under bash', () => {
    const piece = fc.constantFrom("'", '"', '$', '`', '\\', '\n', '!', ' ', '#', 'é', 'a', '$HOME', '$(echo q)', 'b');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (parts) => {
        // $$ is another number each time. A backslash at the end of a line between the two is not there for the shell, and of `$\$` in
        // backquotes none is there either.
        const text = `printf '[%s]' ${parts.join('').replaceAll(/\$(?:[\\\n]*\$)+/g, '$')}`;
        const made = files();
        const [program = '', ...args] = wrapperArgv(made, '', commandArgv({ text }, ['bash', '-c']));
        spawnSync(program, args, { env: { PATH: process.env['PATH'], HOME: home } });
        const bash = spawnSync('sh', ['-c', 'exec bash -c "$1" 2>&1', 'sh', text], { env: { PATH: process.env['PATH'], HOME: home } });
        expect(readFileSync(made.log, 'utf8')).toBe(bash.stdout.toString());
        expect(parseStatus(readFileSync(made.status, 'utf8'))).toBe(bash.status);
      }),
      { numRuns: 60, examples: [[['$', '\\', '\n', '$']], [['`', '$', '\\', '$', '`']]] },
    );
  });
});

it('a status counts only when it is complete', () => {
  expect(['', '0', '12', '0\n', '137\n', 'x\n', '\n'].map(parseStatus)).toEqual([null, null, null, 0, 137, null, null]);
});
