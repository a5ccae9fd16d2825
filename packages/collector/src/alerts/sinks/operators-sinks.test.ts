/** What an operator sees of sinks that take nothing, and how a test alert gets there: real service, real command, real receivers. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from '../../../../../test/support/ports.ts';
import { startWebhook, type Webhook } from '../../../../../test/support/webhook.ts';
import { waitFor } from '../../../../../test/support/wait.ts';
import { CollectorBench } from '../../commands/collector-process.test-data.ts';

let bench: CollectorBench;
let webhook: Webhook;
let dead: string;
let operator: Record<string, string>;
let service: Awaited<ReturnType<CollectorBench['serve']>>;

beforeEach(async () => {
  bench = new CollectorBench();
  webhook = await startWebhook();
  dead = `127.0.0.1:${await freePort()}`;
  bench.configure(`alerts:
  sinks:
    - {type: webhook, url: "http://user:p4ssw0rd@${dead}/services/T0000000000000000000000?key=s3cret"}
    - {type: webhook, url: "${webhook.url}"}
    - {type: alertmanager, url: "${webhook.url.replace('/hook', '/down')}"}
`);
  service = await bench.serve();
  operator = { RELIGHT_URL: service.url, RELIGHT_TOKEN: bench.operatorToken('operate') };
});
afterEach(async () => {
  await bench[Symbol.asyncDispose]();
  await webhook[Symbol.asyncDispose]();
});

const secrets = /p4ssw0rd|T0000000000|s3cret/;

test('a sink that takes nothing is said in status, by name, since when, why, and how much waits; a restart forgets nothing of it', async () => {
  const before = await bench.relight(['sinks'], operator);
  expect(before.out.match(/unknown/g)).toHaveLength(3);
  expect((await bench.relight(['status'], operator)).out).not.toContain('alert sink');

  // An alert that nobody is told of.
  expect((await bench.relight(['expect', 'tpu-9', '--within', '1s'], operator)).code).toBe(0);
  const states = await waitFor(
    async () => {
      const { sinks } = JSON.parse((await bench.relight(['status', '--json'], operator)).out) as { sinks: Record<string, unknown>[] };
      return sinks.every(({ state, waiting }) => state === (waiting === 0 ? 'ok' : 'failing')) && sinks;
    },
    { what: 'an attempt at each sink', timeoutMs: 60_000 },
  );
  expect(states.map(({ position, type, state, waiting }) => [position, type, state, waiting])).toEqual([
    [1, 'webhook', 'failing', 1],
    [2, 'webhook', 'ok', 0],
    [3, 'alertmanager', 'ok', 0],
  ]);
  expect(JSON.stringify(states)).not.toMatch(secrets);
  const told = (await bench.relight(['status'], operator)).out;
  expect(told).toMatch(/1 alert firing · 1 alert sink failing/);
  expect(told).toMatch(
    new RegExp(
      `^error {2}alert sink 1 \\(http://${dead}/services/…\\) has taken nothing for \\d[\\d.ms ]*: connect ECONNREFUSED ${dead}; 1 notification waits$`,
      'm',
    ),
  );
  expect(told).not.toMatch(/alert sink [23]/);
  const [hooked] = webhook.notifications.flatMap(({ body }) => ('version' in body ? body.alerts : []));
  expect(hooked?.labels['alertname']).toBe('HostMissing');

  await service.stop();
  service = await bench.serve();
  const after = await bench.relight(['status'], { ...operator, RELIGHT_URL: service.url });
  expect(after.out).toMatch(/^error {2}alert sink 1 .* has taken nothing for .*; 1 notification waits$/m);
});

test('a test alert reaches every sink, marked as a test, and says what each has answered; it is in the audit log', async () => {
  const asked = await bench.relight(['test-alert', '--severity', 'critical'], operator);
  expect(asked.code).toBe(1);
  expect(asked.out).toMatch(
    new RegExp(`^sink 1 \\(http://${dead}/services/…\\): not delivered: connect ECONNREFUSED ${dead}, after `, 'm'),
  );
  expect(asked.out).toMatch(/^sink 2 \(.*\/hook\): delivered, after /m);
  expect(asked.out).toMatch(/^sink 3 \(.*\/down\/api\/v2\/alerts\): delivered, after /m);
  expect(asked.out + asked.err).not.toMatch(secrets);
  const posted = webhook.notifications.map(({ body }) => body);
  const hook = posted.find((body) => 'version' in body);
  expect(hook).toMatchObject({
    version: '4',
    status: 'firing',
    alerts: [
      {
        status: 'firing',
        labels: { alertname: 'RelightTest', test: 'true', severity: 'critical' },
        annotations: {
          summary: expect.stringMatching(/^TEST .*asked for by operate: nothing is wrong/) as string,
          description: expect.stringMatching(/^RelightTest firing since \S+Z: TEST /) as string,
        },
        endsAt: '0001-01-01T00:00:00Z',
      },
    ],
  });
  // Alertmanager forgets it by itself: nobody tells it that a test is over.
  const [direct] = posted.find((body) => Array.isArray(body)) as unknown as { startsAt: string; endsAt: string }[];
  expect(Date.parse(direct?.endsAt ?? '') - Date.parse(direct?.startsAt ?? '')).toBe(5 * 60_000);

  expect(await bench.relight(['test-alert', '2'], operator)).toMatchObject({
    code: 0,
    out: expect.stringContaining('delivered') as string,
  });
  webhook.answerWith(404);
  const refused = await bench.relight(['test-alert', '2', '--json'], operator);
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.out)).toMatchObject({ items: [{ position: 2, delivered: false, reason: 'HTTP 404' }] });
  // Also without an alert: what a test has found out is how it stands.
  expect((await bench.relight(['status'], operator)).out).toMatch(/^error {2}alert sink 2 .*: HTTP 404$/m);
  // It is no alert.
  expect((await bench.relight(['alerts', '--all'], operator)).out).toBe('no alerts\n');

  const unknown = await bench.relight(['test-alert', `http://user:p4ssw0rd@${dead}/`], operator);
  expect(unknown).toMatchObject({ code: 1, err: expect.stringMatching(/there is no such sink; there is 1 \(/) as string });
  const view = await bench.relight(['test-alert'], { ...operator, RELIGHT_TOKEN: bench.operatorToken('view') });
  expect(view).toMatchObject({ code: 2, err: expect.stringContaining('needs the role operate') as string });

  const admin = { ...operator, RELIGHT_TOKEN: bench.operatorToken('admin') };
  const audit = (await bench.relight(['audit', '--action', 'alert.test'], admin)).out;
  expect(audit.trim().split('\n')).toHaveLength(4);
  expect(audit).toMatch(/done {5}alert\.test {2}http:\/\/\S+\/hook {2}by operate, operate from 127\.0\.0\.1 .*delivered/);
  expect(audit).toMatch(/failed {3}alert\.test .*there is no such sink/);
  expect(audit).not.toMatch(secrets);
});
