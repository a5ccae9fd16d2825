/**
 * `npm run build`: the three entry points of Relight, one file each, for Node 24. better-sqlite3 finds its native binary
 * beside its own package, so it stays a package beside the bundle.
 */
import { build, type BuildOptions, type Plugin } from 'esbuild';
import { chmod, cp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { buildDirectory, removeInterrupted } from './build-directory.ts';
import { root } from './run.ts';

/**
 * dockerode reaches remote engines over ssh, and packs and builds images with tar and grpc; the agent talks to a local socket, and
 * builds nothing. Leaving these out saves some 20 MB of resident memory and two native add-ons. Whoever uses one is told so.
 */
const leaveOut: Plugin = {
  name: 'leave-out',
  setup(builder) {
    builder.onResolve(
      { filter: /^(?:ssh2|cpu-features|@grpc\/grpc-js|@grpc\/proto-loader|protobufjs|tar-fs|@balena\/dockerignore)$/ },
      (args) => ({
        path: args.path,
        namespace: 'left-out',
      }),
    );
    // Taken apart when it is loaded (`require('ssh2').Client`), so only a call can fail.
    builder.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `function fail() { throw new Error(${JSON.stringify(`${path} is left out of this program (scripts/build.ts)`)}); }
module.exports = new Proxy(fail, { get: (t, k, whole) => (k === "__esModule" ? false : whole), construct: fail });`,
      loader: 'js',
    }));
    builder.onLoad({ filter: /\.node$/ }, () => ({ contents: 'module.exports = {};', loader: 'js' }));
    // A copy of Node's own, for old versions of Node.
    builder.onResolve({ filter: /^readable-stream$/ }, () => ({ path: 'node:stream', external: true }));
  },
};

/**
 * Importing node:http as an ES module evaluates all that it exports, WebSocket among it, which loads all of undici: up to
 * 14 MB of resident memory for nothing (docs/benchmarks.md). Asked for in the older way, each export is evaluated when it is used.
 */
const lazyHttp: Plugin = {
  name: 'lazy-http',
  setup(builder) {
    builder.onResolve({ filter: /^node:https?$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'lazy' } : undefined,
    );
    builder.onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
      loader: 'js',
    }));
  },
};

const common: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: 'linked',
  // V8 keeps the text of what it has loaded: without comments and indentation the agent is 3.3 MB smaller. Names and lines stay.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  legalComments: 'none',
  logLevel: 'warning',
  external: ['better-sqlite3'],
  // Bundled CommonJS packages call require for Node's own modules.
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  plugins: [leaveOut, lazyHttp],
};

/** File name of a bundle → the source files it is made of, relative to the repository. */
export type Bundles = Readonly<Record<string, readonly string[]>>;

export interface BuildAllOptions {
  /** Default: that of packages/shared/src/version.ts. */
  readonly version?: string;
  /** Package → where its programs appear. Default: its `dist`. */
  readonly into?: (pkg: string) => string;
}

/** Each file appears complete, by renaming: programs that run from `dist` and other builds never see a half-made one. */
export async function buildAll({ version, into = ownDist }: BuildAllOptions = {}): Promise<Bundles> {
  const define = version === undefined ? {} : { RELIGHT_VERSION: JSON.stringify(version) };
  const entries: readonly (readonly [pkg: string, source: string, target: string])[] = [
    ['agent', 'src/main.ts', 'relight-agent.mjs'],
    ['collector', 'src/main.ts', 'relight-collector.mjs'],
    ['collector', 'src/cli/main.ts', 'relight.mjs'],
  ];
  const bundles = await Promise.all(
    entries.map(async ([pkg, source, target]) => {
      const dist = into(pkg);
      const fresh = await buildDirectory(dist);
      try {
        const entryPoints = [join(root, 'packages', pkg, source)];
        const { metafile } = await build({
          ...common,
          define,
          metafile: true,
          absWorkingDir: root,
          entryPoints,
          outfile: join(fresh, target),
        });
        await writeFile(join(fresh, target), asciiOnly(await readFile(join(fresh, target), 'utf8')));
        await chmod(join(fresh, target), 0o755);
        for (const file of [`${target}.map`, target]) await rename(join(fresh, file), join(dist, file));
        return [target, Object.keys(metafile.inputs)] as const;
      } finally {
        await rm(fresh, { recursive: true });
      }
    }),
  );
  await copyNative(into('collector'));
  return Object.fromEntries(bundles);
}

/**
 * One character beyond ASCII, and V8 keeps the whole text with two bytes a character, for as long as the program runs: 2.4 MB more of
 * an agent. esbuild escapes them everywhere but in regular expressions.
 */
export const asciiOnly = (code: string): string =>
  // eslint-disable-next-line no-control-regex
  code.replaceAll(/[^\x00-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

const ownDist = (pkg: string): string => join(root, 'packages', pkg, 'dist');

/** Puts better-sqlite3 beside the collector's bundle, so that `dist` can be moved as it is. */
async function copyNative(dist: string): Promise<void> {
  const require = createRequire(join(root, 'packages', 'collector', 'package.json'));
  const source = dirname(require.resolve('better-sqlite3/package.json'));
  const modules = join(dist, 'node_modules');
  const target = join(modules, 'better-sqlite3');
  await removeInterrupted(modules);
  const manifest = (directory: string): Promise<string> => readFile(join(directory, 'package.json'), 'utf8');
  if ((await manifest(target).catch(() => '')) === (await manifest(source))) return;
  const fresh = await buildDirectory(modules);
  for (const part of ['package.json', 'lib', 'prebuilds', 'build']) {
    await cp(join(source, part), join(fresh, part), { recursive: true, dereference: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  await chmod(fresh, 0o755);
  await rm(target, { recursive: true, force: true });
  await rename(fresh, target).catch(async (error: NodeJS.ErrnoException) => {
    // Another build was faster; it had the same manifest.
    await rm(fresh, { recursive: true });
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
}

if (import.meta.main) await buildAll();
