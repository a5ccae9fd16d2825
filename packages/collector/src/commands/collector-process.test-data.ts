/** `relight-collector` from sources, in a directory of its own, and `relight` against it, as a person uses them. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { systemClock } from '@relight/shared/clock';
import pc from 'picocolors';
import type { Io } from '../cli/io.ts';
import { runCli } from '../cli/program.ts';
import type { Role } from '../store/store.ts';
import { withTokens } from './tokens-beside.ts';

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

type Env = Readonly<Record<string, string>>;

export class CollectorBench implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'relight-collector-bench-'));
  dataDir = join(this.dir, 'data');
  readonly configFile = join(this.dir, 'collector.yaml');
  /** Beside what a person has; a home without anything of this machine's. */
  readonly env: Record<string, string> = { HOME: this.dir, PATH: process.env['PATH'] ?? '' };
  readonly #children = new Set<ChildProcess>();

  /** Its data directory is this one's, its port any free one unless `yaml` says otherwise. */
  configure(yaml: string): void {
    const listen = /^listen:/m.test(yaml) ? '' : 'listen: 127.0.0.1:0\n';
    writeFileSync(this.configFile, `version: 1\n${listen}data_dir: ${this.dataDir}\n${yaml}`, { mode: 0o640 });
  }

  collector(args: readonly string[], env: Env = {}): Promise<Ended> {
    return this.#run(args, env);
  }

  /** One after the other in one process, for one takes a second to start. `before` are statements that come first. */
  collectors(commands: readonly (readonly string[])[], before = ''): readonly (Ended & { readonly command: readonly string[] })[] {
    const program = `import { runProgram } from ${JSON.stringify(join(import.meta.dirname, '../program.ts'))};
      ${before}
      for (const args of ${JSON.stringify(commands)}) {
        process.stdout.write(await runProgram(['node', 'relight-collector', ...args]) + '\\0');
        process.stderr.write('\\0');
      }`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
      encoding: 'utf8',
      env: this.env,
      timeout: 60_000,
    });
    const [outs, errs] = [stdout.split('\0'), stderr.split('\0')];
    return commands.map((command, at) => {
      const [, out = '', code] = /^([^]*)(\d)$/.exec(outs[at] ?? '') ?? [];
      return { command, code: code === undefined ? null : Number(code), out, err: errs[at] ?? '' };
    });
  }

  /** Without a process of its own: a test asks often. */
  async relight(args: readonly string[], env: Env = {}): Promise<Ended> {
    const said = { out: '', err: '' };
    const io: Io = {
      env: { ...this.env, ...env },
      clock: systemClock,
      color: pc.createColors(false),
      columns: null,
      signal: new AbortController().signal,
      write: async (piece) => void (said.out += piece),
      note: (line) => void (said.err += `${line}\n`),
    };
    const code = await runCli(args, io, '0');
    return { code, ...said };
  }

  /** As `relight-collector token create --kind operator` makes it, beside the running service. */
  operatorToken(role: Role): string {
    const made = withTokens(this.dataDir, ({ writes, now }) => writes.createToken('operator', null, now, { role, name: role }));
    return made.token;
  }

  /** Resolves with its address when it listens. */
  async serve(env: Env = {}): Promise<{ readonly url: string; stop(): Promise<void> }> {
    const child = this.#start(['serve', '--config', this.configFile], env);
    const ended = once(child, 'exit');
    const stop = async (): Promise<void> => {
      child.kill('SIGTERM');
      await ended;
    };
    let log = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr?.on('data', (piece: Buffer) => {
        log += piece.toString();
        const found = /"msg":"listening on (https?:[^"]+)"/.exec(log)?.[1];
        if (found !== undefined) resolve(found);
      });
      child.once('exit', () => reject(new Error(`the service ended: ${log}`)));
    });
    return { url, stop };
  }

  async #run(args: readonly string[], env: Env): Promise<Ended> {
    const child = this.#start(args, env);
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) throw new Error('a child without pipes');
    const [out, err, [code]] = await Promise.all([text(stdout), text(stderr), once(child, 'exit') as Promise<[number | null]>]);
    return { code, out, err };
  }

  #start(args: readonly string[], env: Env): ChildProcess {
    const child = spawn(process.execPath, [join(import.meta.dirname, '..', 'main.ts'), ...args], { env: { ...this.env, ...env } });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
