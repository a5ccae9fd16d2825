import { expect, test } from 'vitest';
import { ApiClient } from './client.ts';
import { resolveConnection } from './connection.ts';
import { fakeApi, knownFleet } from './fake-api.test-data.ts';
import { unknownNames } from './known-names.ts';
import { apiHost } from './samples.test-data.ts';

test('a host is known without any workload, and what is near is said in the words of the question', async () => {
  const expected = apiHost({ name: 'gpu-0', state: 'expected', workloads: [] });
  await using api = await fakeApi(knownFleet([apiHost({ labels: { pool: 'v5e' } }), apiHost({ name: 'tpu-1' }), expected]));
  const client = new ApiClient(resolveConnection({ url: api.url }, {}), new AbortController().signal);
  const asked: Record<string, string | null> = {};
  for (const [host, workload] of [
    ['gpu-0', undefined],
    ['gpu-0', '@host'],
    ['gpu-0', 'ray'],
    ['gpu-O', undefined],
    ['gpu-O', '@host'],
    ['tpu-0', 'ray'],
    ['tpu-0', 'rya'],
    [undefined, 'rya'],
    [undefined, '@host'],
    [undefined, undefined],
  ] as const)
    asked[[host, workload].filter((part) => part !== undefined).join('/')] = await unknownNames(client, { host, workload });
  expect(asked).toEqual({
    'gpu-0': null,
    'gpu-0/@host': null,
    'gpu-0/ray': 'nothing is known of gpu-0/ray; did you mean tpu-0/ray?',
    'gpu-O': 'nothing is known of gpu-O; did you mean gpu-0?',
    'gpu-O/@host': 'nothing is known of gpu-O/@host; did you mean gpu-0/@host?',
    'tpu-0/ray': null,
    'tpu-0/rya': 'nothing is known of tpu-0/rya; did you mean tpu-0/ray?',
    rya: 'nothing is known of rya; did you mean ray?',
    '@host': null,
    '': null,
  });
  expect(await unknownNames(client, { host: 'tpu-0', label: 'pool=v5e' })).toBeNull();
  // It is spelt right: the label is what is wrong.
  const wrongLabel = { label: 'pool=v6e' };
  expect(await unknownNames(client, { host: 'tpu-0', ...wrongLabel })).toBe('nothing is known of tpu-0 with label pool=v6e');
  expect(await unknownNames(client, { host: 'tpu-0', workload: 'ray', ...wrongLabel })).toBe(
    'nothing is known of tpu-0/ray with label pool=v6e',
  );
  expect(await unknownNames(client, wrongLabel)).toBe('nothing is known of label pool=v6e');
});
