// The door to every command of this repository. It runs on whatever Node the machine has (18 or newer), installs what is
// missing and hands over to the task under the pinned Node 24 (node_modules/.bin/node).
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pnpmVersion = '12.21.0';
const nodeMajor = 24;
const tasks = ['demo', 'test', 'check', 'build', 'package', 'bench', 'format', 'docs', 'record'];
const takesArguments = ['demo', 'test', 'package', 'bench'];

function fail(message) {
  console.error(`relight: ${message}`);
  process.exit(2);
}

/** Installs once per state of the lock file; the stamp is what pnpm itself was given. */
function installDependencies() {
  const inputs = [
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    'package.json',
    ...['shared', 'agent', 'collector'].map((name) => `packages/${name}/package.json`),
  ];
  const hash = createHash('sha256');
  for (const file of inputs) hash.update(readFileSync(join(root, file)));
  const state = hash.digest('hex');
  const stamp = join(root, 'node_modules', '.relight-installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return;
  console.error('relight: installing dependencies …');
  const install = () =>
    spawnSync('npx', ['-y', `pnpm@${pnpmVersion}`, 'install', '--frozen-lockfile', '--reporter=append-only'], {
      cwd: root,
      stdio: ['ignore', 2, 2],
      env: { ...process.env, CI: 'true' },
    });
  let done = install();
  // Both ask again by themselves, but not after every answer of a registry that is ill for a moment. What is there stays.
  for (const seconds of [5, 20]) {
    if (done.error !== undefined || done.status === 0 || done.signal !== null) break;
    console.error(`relight: installing the dependencies failed, next attempt in ${seconds} s`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1_000);
    done = install();
  }
  if (done.error !== undefined) fail(`npx cannot be started (${done.error.message}); it comes with npm: install npm and try again.`);
  if (done.status !== 0) {
    fail('installing the dependencies failed; the reason stands above. Does npm reach its registry? (npm ping)');
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, state);
}

function pinnedNode() {
  const local = join(root, 'node_modules', '.bin', 'node');
  if (existsSync(local)) return local;
  if (Number(process.versions.node.split('.')[0]) >= nodeMajor) return process.execPath;
  return fail(
    `no Node ${nodeMajor} comes from the registry for ${process.platform}-${process.arch}: install Node ${nodeMajor} or newer and try again.`,
  );
}

const [task, ...args] = process.argv.slice(2);
if (!tasks.includes(task)) fail(`unknown task "${task ?? ''}"; one of: ${tasks.join(', ')}`);
if (args.length > 0 && !takesArguments.includes(task)) fail(`${task} takes no arguments, but was given: ${args.join(' ')}`);
installDependencies();
const node = pinnedNode();
const running = spawn(node, [join(root, 'scripts', `${task}.ts`), ...args], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, PATH: `${join(root, 'node_modules', '.bin')}:${process.env.PATH}` },
});
// The task cleans up after itself: wait for it. Ctrl-C at a terminal reaches it by itself; what is sent to us alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (signal === 'SIGTERM' || !process.stdin.isTTY) running.kill(signal);
  });
}
running.once('error', (error) => fail(error.message));
// A task ended by a signal says so in the shell's way.
running.once('exit', (code, signal) => process.exit(code ?? 128 + ({ SIGINT: 2, SIGTERM: 15 }[signal] ?? 9)));
