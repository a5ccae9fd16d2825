import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { createBody } from '../../../../test/support/create-body.ts';
import { FakeEngine } from '../../../../test/support/fake-engine.ts';
import { SecretValues } from '../config/secret-values.ts';
import { ContainerSecrets } from './container-secrets.ts';

test('what a container was given is learnt once its workload is known, also when that is later than the container', async () => {
  const engine = new FakeEngine({ clock: new ManualClock() });
  const Labels = { 'relight.agent': 'us', 'relight.workload': 'w', 'relight.secrets': 'HF_TOKEN' };
  const body = createBody('fake:latest', ['sleep'], { Labels, Env: ['HF_TOKEN=before-it-was-rotated', 'PLAIN=told-to-everybody'] });
  const { id } = await engine.create('w', body);
  const facts = await engine.inspect(id);
  if (facts === null) throw new Error('it was just made');
  const secrets = new Map<string, SecretValues>();
  const learner = new ContainerSecrets({ engine, secrets });
  await learner.learn([facts]);
  const values = new SecretValues([]);
  secrets.set('w', values);
  await learner.learn([facts]);
  expect(values.text('before-it-was-rotated told-to-everybody')).toBe('[redacted] told-to-everybody');
  const asked = engine.calls.filter((call) => call.startsWith('inspectRaw')).length;
  await learner.learn([facts]);
  expect(engine.calls.filter((call) => call.startsWith('inspectRaw'))).toHaveLength(asked);
});
