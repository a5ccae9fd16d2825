import { defineConfig } from 'vitest/config';

/**
 * unit: pure and model-based, beside the sources, no engine. integration: contract and end-to-end tests on a private
 * Docker Engine that the suite starts itself (test/support). real: Ray and gcsfuse themselves in containers of such an engine,
 * Prometheus and Alertmanager beside it.
 * system: the packages, installed on machines with systemd, which are containers of such an engine. Two cores: files of
 * integration run one after the other, and so do those of real and system; a whole run has the one beside the others (scripts/lanes.ts).
 */
export default defineConfig({
  test: {
    // An engine that is taken down.
    teardownTimeout: 60_000,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'test/support/**/*.test.ts', 'scripts/**/*.test.ts'],
          setupFiles: ['test/support/scratch.ts', 'test/support/trial-length.ts'],
          // Threads that are started from sources strip types in WebAssembly. Where the glue to JavaScript is compiled anew after so many
          // calls, V8 frees the old one, and now and then ends the process over it (Check failed: jit_page.has_value(), Node 24.21).
          execArgv: ['--wasm-wrapper-tiering-budget=2147483647'],
          // Beside an engine on two cores, with a disk that takes half a second for an fsync.
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/{integration,e2e,chaos}/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          fileParallelism: false,
          // Longer than any wait within a test: what waited says for what, a test that is cut off goes on behind the next one.
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          globalSetup: ['test/support/real/global-setup.ts'],
          fileParallelism: false,
          testTimeout: 480_000,
          hookTimeout: 480_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          globalSetup: ['test/support/system/global-setup.ts'],
          fileParallelism: false,
          // Longer than any wait within a test, as above; some wait for watchdogs and whole boots one after the other.
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
