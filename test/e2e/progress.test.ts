/** A server that hangs while its health is fine: noticed by the check on its progress that docs/operations/failures.md gives. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { Bystander } from '../support/bystander.ts';
import { readPage } from '../support/docs.ts';
import { startLab, type Lab } from '../support/lab.ts';
import { waitFor } from '../support/wait.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab({ engineSocket: inject('engineSocket') });
});
afterAll(() => lab?.dispose());

/** As people copy it, asked more often. */
function recipe(): readonly Readonly<Record<string, unknown>>[] {
  const [, text = ''] = /fine\n[^#]*?```yaml\n([\s\S]*?)```/.exec(readPage('docs/operations/failures.md')) ?? [];
  const { live } = parse(text) as { live: Record<string, unknown>[] };
  return live.map((check) => ({ ...check, ...('http' in check ? { from: 'container' } : {}), interval: '1s' }));
}

/**
 * Health is always fine. Its tokens move until /dev/shm/hangs is there; /dev/shm/running has how many requests it works on. All in memory: a
 * disk that stands still for a second would have it look as if it hung. Nobody is answered before it has said how it fares: what its
 * predecessor said last is there until then.
 */
const server = `cd /dev/shm; rm -f hangs running; mkdir -p www; echo ok > www/health; tokens=12345678 running=0 serves=
while :; do
  test -e hangs || tokens=$((tokens + 7))
  test ! -e running || read running < running
  {
    echo '# TYPE vllm:generation_tokens_total counter'
    echo "vllm:num_requests_running{engine=\\"0\\",model_name=\\"a model\\"} $running.0"
    echo 'vllm:prompt_tokens_total{engine="0",model_name="a model"} 1.2345e+07'
    echo "vllm:generation_tokens_total{engine=\\"0\\",model_name=\\"a model\\"} $tokens.0"
    echo 'vllm:generation_tokens_total_created{engine="0",model_name="a model"} 1.7e+09'
  } > www/next && mv www/next www/metrics
  test -n "$serves" || { serves=yes; httpd -f -p 8000 -h www & }
  sleep 0.05
done`;

test('its health never fails; the process is started anew when requests are running and no token comes', async () => {
  const worker = await Bystander.ready(lab, 'progress', inject('engineImage'), {
    // The image has no curl, but what it is asked for here.
    setup: [
      {
        name: 'curl',
        run: `printf '#!/bin/sh\\nfor url; do :; done\\nexec wget -qO- "$url"\\n' > /bin/curl && chmod +x /bin/curl`,
        verify: 'test -x /bin/curl',
      },
    ],
    process: { run: server, stop_timeout: '500ms' },
    ready: [{ http: 'http://127.0.0.1:8000/health', from: 'container', interval: '200ms' }],
    live: recipe(),
  });
  const [before, mark] = [await worker.container(), await worker.mark()];
  /** At one moment: nobody reads half a word. */
  const isWorkingOn = (requests: number): Promise<string> =>
    worker.exec('sh', '-c', `cd /dev/shm && echo ${requests} > next && mv next running`);
  /** Resolves when the check has looked that often. */
  const looks = async (times: number): Promise<void> => {
    for (let n = 0, last = ''; n <= times; n += 1) {
      last = await waitFor(
        async () => {
          const now = await worker.exec('sh', '-c', 'stat -c %y /tmp/progress 2>/dev/null || true');
          return now !== '' && now !== last && now;
        },
        { what: 'the next look', everyMs: 50 },
      );
    }
  };

  await isWorkingOn(3);
  await looks(4);
  await isWorkingOn(0);
  await waitFor(async () => (await worker.exec('cat', '/dev/shm/www/metrics')).includes('running{engine="0",model_name="a model"} 0.0'), {
    what: 'nothing to do',
  });
  await worker.exec('touch', '/dev/shm/hangs');
  await looks(5);
  expect(await worker.kindsSince(mark)).not.toContain('check.failed');

  await isWorkingOn(3);
  const scheduled = await worker.next(mark, 'restart.scheduled');
  expect(scheduled).toMatchObject({ data: { code: 'live-failed', level: 'process', check: 'progress' } });
  expect(scheduled.message).toMatch(/live check progress failed 3 times: exit code 1: 3 requests are running, and still \d+ tokens/);
  await worker.next(Number(scheduled.id), 'workload.ready');
  await looks(4);
  expect(await worker.container()).toMatchObject({ id: before.id, pid: before.pid });
  expect((await worker.status()).restarts).toMatchObject({ process: 1, container: 0 });
  const failed = (await worker.since(mark)).filter(({ kind }) => kind === 'check.failed');
  expect(failed.map(({ data }) => data['check'])).toEqual(['progress']);
  await worker.agent.service.stop();
});
