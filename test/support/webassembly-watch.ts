/** Writes down who makes use of WebAssembly in processes of Node, in each of their threads. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Seen {
  readonly pid: number;
  /** 0: the main one. */
  readonly thread: number;
  /** `watching`: from its first moment on. Else what was called: `Module`, `compile` … */
  readonly what: string;
  readonly stack: string;
}

export interface WebAssemblyWatch {
  /** Of the processes to be watched. Those that they start are watched, too. */
  readonly env: Readonly<Record<string, string>>;
  /** So far, of all of them. */
  seen(): readonly Seen[];
}

/** Loaded before all else. Threads of ours are started without the options of their process, so they are told again. */
const recorder = (file: string): string => `'use strict';
const { appendFileSync } = require('node:fs');
const threads = require('node:worker_threads');
const record = (what) => {
  const seen = { pid: process.pid, thread: threads.threadId, what, stack: new Error().stack };
  appendFileSync(${JSON.stringify(file)}, JSON.stringify(seen) + '\\n');
};
for (const [name, own] of Object.entries(Object.getOwnPropertyDescriptors(WebAssembly))) {
  if (typeof own.value !== 'function') continue;
  const value = new Proxy(own.value, {
    apply: (...call) => (record(name), Reflect.apply(...call)),
    construct: (...call) => (record(name), Reflect.construct(...call)),
  });
  Object.defineProperty(WebAssembly, name, { ...own, value });
}
const { Worker } = threads;
threads.Worker = class extends Worker {
  constructor(entry, options) {
    super(entry, { ...options, execArgv: [...(options?.execArgv ?? []), '--require', __filename] });
  }
};
require('node:module').syncBuiltinESMExports();
record('watching');
`;

export function watchWebAssembly(directory: string): WebAssemblyWatch {
  const file = join(directory, 'webassembly.jsonl');
  const hook = join(directory, 'webassembly-recorder.cjs');
  writeFileSync(hook, recorder(file));
  return {
    env: { NODE_OPTIONS: `--require=${hook}` },
    seen: () =>
      existsSync(file)
        ? readFileSync(file, 'utf8')
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line) as Seen)
        : [],
  };
}
