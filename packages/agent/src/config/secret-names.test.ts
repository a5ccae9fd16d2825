import { expect, test } from 'vitest';
import { isSecretName, namedSecrets } from './secret-names.ts';

test.each([
  'HF_TOKEN',
  'token',
  'WANDB_API_KEY',
  'OPENAI_APIKEY',
  'AWS_SECRET_ACCESS_KEY',
  'PGPASSWORD',
  'DB_PASSWD',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'SSH_PRIVATE_KEY',
])('%s is secret by its name', (name) => {
  expect(isSecretName(name)).toBe(true);
});

test.each(['PATH', 'HEAD', 'KEYBOARD', 'PUBLIC_KEY', 'RANK', 'PASS'])('%s is not', (name) => {
  expect(isSecretName(name)).toBe(false);
});

test('only their values are', () => {
  expect(namedSecrets({ HF_TOKEN: 'a', RANK: '0', PGPASSWORD: 'b' })).toEqual(['a', 'b']);
});
