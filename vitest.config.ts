import { defineConfig } from 'vitest/config';

/**
 * unit: pure and model-based, beside the sources, no engine. integration: contract and end-to-end tests on a private
 * Docker Engine that the suite starts itself (test/support). real: Ray and gcsfuse themselves in containers of such an engine.
 * Two cores: files of integration and real run one after the other.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'test/support/**/*.test.ts', 'scripts/**/*.test.ts'],
          setupFiles: ['test/support/scratch.ts'],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/{integration,e2e,chaos}/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          globalSetup: ['test/support/real/global-setup.ts'],
          fileParallelism: false,
          testTimeout: 240_000,
          hookTimeout: 240_000,
        },
      },
    ],
  },
});
