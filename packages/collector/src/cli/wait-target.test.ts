import { expect, test } from 'vitest';
import { apiHost, apiWorkload } from './samples.test-data.ts';
import { judge, parseWaitTarget, type WaitTarget } from './wait-target.ts';

function judged(text: string, hosts: Parameters<typeof judge>[1], goal: Parameters<typeof judge>[2] = 'ready'): ReturnType<typeof judge> {
  return judge(parseWaitTarget(text) as Exclude<WaitTarget, { kind: 'url' }>, hosts, goal);
}

test('tells the kinds of target apart', () => {
  expect(['http://x:1/a?b=c', 'pool=v5e', 'zone!=a', 'tpu-0', 'tpu-0/ray'].map((text) => parseWaitTarget(text).kind)).toEqual([
    'url',
    'selector',
    'selector',
    'host',
    'host',
  ]);
  for (const wrong of ['http://', 'a/b/c', '=x', '']) expect(() => parseWaitTarget(wrong)).toThrow('Expected');
});

test('a workload is ready when its phase says so and its host is heard', () => {
  const ready = apiHost({ workloads: [apiWorkload({ phase: 'ready' })] });
  expect(judged('tpu-0/ray', [ready])).toEqual({ done: true, text: 'ready' });
  expect(judged('tpu-0/ray', [apiHost({ ...ready, state: 'suspect', reason: 'silent' })])).toEqual({
    done: false,
    text: 'host tpu-0 is suspect: silent',
  });
  expect(judged('tpu-0/ray', [])).toMatchObject({ done: false });
  expect(judged('tpu-0/other', [ready])).toMatchObject({ done: false });
  const setting = apiHost({ workloads: [apiWorkload({ phase: 'setting-up', stage: 'setup 2/5: keys' })] });
  expect(judged('tpu-0/ray', [setting])).toEqual({ done: false, text: 'setting-up: setup 2/5: keys' });
  expect(judged('tpu-0/ray', [setting], 'setting-up').done).toBe(true);
});

test('a host needs all of its workloads, a selector all of its hosts and at least one', () => {
  const half = apiHost({ workloads: [apiWorkload({ phase: 'ready' }), apiWorkload({ name: 'b', phase: 'held', reason: 'no image' })] });
  expect(judged('tpu-0', [half])).toEqual({ done: false, text: '1 of 2; tpu-0/b held: no image' });
  expect(judged('tpu-0', [apiHost({ workloads: [] })]).done).toBe(true);
  const fine = apiHost({ name: 'tpu-1', labels: { pool: 'v5e' }, workloads: [apiWorkload({ host: 'tpu-1', phase: 'ready' })] });
  expect(judged('pool=v5e', [fine]).done).toBe(true);
  expect(judged('pool=v5e', [fine, apiHost({ labels: { pool: 'v5e' }, state: 'dead', reason: 'silent' })])).toEqual({
    done: false,
    text: '1 of 2; host tpu-0 is dead: silent',
  });
  expect(judged('pool=v6e', [fine])).toMatchObject({ done: false });
});
