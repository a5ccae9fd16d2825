import { expect, test } from 'vitest';
import { workloadFixture } from '../../../test/support/specs.ts';
import { SecretValues } from './config/secret-values.ts';
import { secretsOf } from './workload-secrets.ts';

test('what is secret by its name is hidden in environment, variables and options of the log driver, which the engine repeats when it refuses them', () => {
  const spec = workloadFixture(
    {},
    {
      environment: { HF_TOKEN: 'of-environment' },
      logging: { driver: 'splunk', options: { 'splunk-token': 'of-driver', 'splunk-url': 'https://splunk.example' } },
    },
  );
  const secrets = secretsOf(spec, [{ name: 'API_KEY', value: 'of-variables' }], new SecretValues([]));
  expect(secrets.text('of-environment of-driver of-variables https://splunk.example')).toBe(
    '[redacted] [redacted] [redacted] https://splunk.example',
  );
});
