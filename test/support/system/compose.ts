/** The collector's Compose file, by a real compose and as it is, on an engine of the tests' own; beside it its Dockerfile and `dist`. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensurePrograms, findProgram } from '../engine-install.ts';

const run = promisify(execFile);
const sources = join(import.meta.dirname, '../../../packages/collector/docker');
/** Where they lie in a checkout: the one names the other. */
const place = 'packages/collector/docker';

export interface ComposeOptions {
  readonly engineSocket: string;
  readonly directory: string;
  /** On this machine. */
  readonly port: number;
}

export class Compose {
  /** For the packages. */
  readonly dist: string;
  readonly #options: ComposeOptions;
  readonly #files: readonly string[];

  private constructor(options: ComposeOptions, files: readonly string[]) {
    this.#options = options;
    this.#files = files;
    this.dist = join(options.directory, 'dist');
  }

  /** Debian's docker-compose (1 MB) where the machine has none. */
  static async prepare(options: ComposeOptions): Promise<Compose> {
    await ensurePrograms(['docker-compose']);
    const docker = join(options.directory, place);
    const files = ['compose.yaml', '.env', 'Dockerfile'].map((name) => [join(sources, name), join(docker, name)] as const);
    await mkdir(docker, { recursive: true });
    for (const [from, to] of files) await copyFile(from, to);
    const compose = join(docker, 'compose.yaml');
    const instance = new Compose(options, [compose, ...lowerLimits(options.directory)]);
    await mkdir(instance.dist);
    return instance;
  }

  /** What it prints; fails with what it says. */
  async do(...args: readonly string[]): Promise<string> {
    const { engineSocket, port, directory } = this.#options;
    const env = {
      ...process.env,
      DOCKER_HOST: `unix://${engineSocket}`,
      RELIGHT_COLLECTOR_PORT: String(port),
      // The builder that every engine has.
      DOCKER_BUILDKIT: '0',
      COMPOSE_DOCKER_CLI_BUILD: '0',
    };
    const files = this.#files.flatMap((file) => ['-f', file]);
    const program = findProgram('docker-compose') ?? 'docker-compose';
    const { stdout } = await run(program, [...files, ...args], { env, cwd: join(directory, place), maxBuffer: 64 << 20 });
    return stdout;
  }

  /** Of the service's container, also one that has ended. */
  async container(): Promise<string> {
    return (await this.do('ps', '-a', '-q', 'collector')).trim();
  }

  /** In the container, without a terminal. */
  exec(...argv: readonly string[]): Promise<string> {
    return this.do('exec', '-T', 'collector', ...argv);
  }
}

/** Who runs the tests may have fewer open files than the Compose file asks for, and no right to more: then a second file says so. */
function lowerLimits(directory: string): readonly string[] {
  const ownMax = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  const wanted = Number(/^\s+ulimits: \{ nofile: (\d+) \}$/m.exec(readFileSync(join(sources, 'compose.yaml'), 'utf8'))?.[1]);
  if (!(wanted > ownMax)) return [];
  const file = join(directory, 'limits.yaml');
  writeFileSync(file, `services: { collector: { ulimits: { nofile: ${ownMax} } } }\n`);
  return [file];
}
