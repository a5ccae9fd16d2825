import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from './load.ts';

test('the example that the package brings is a configuration', async () => {
  const spec = await loadConfig(join(import.meta.dirname, '../../examples/agent.yaml'), { hostname: 'here' });
  expect(spec.host.name).toBe('here');
  expect(spec.workloads.map(({ name }) => name)).toEqual(['worker']);
});
