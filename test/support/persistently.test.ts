import { expect, test, vi } from 'vitest';
import { persistently } from './persistently.ts';

test('what fails once is asked for again, and says so', async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {});
  const attempt = vi.fn<() => Promise<string>>();
  attempt.mockRejectedValueOnce(new Error('apt-get install\nE: Failed to fetch: 503')).mockResolvedValue('there');
  expect(await persistently('installing curl', attempt, [0, 0])).toBe('there');
  expect(attempt).toHaveBeenCalledTimes(2);
  expect(said).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/^relight: installing curl failed, .*\n.*Failed to fetch: 503$/s));
  said.mockRestore();
});

test('what never succeeds fails as it did last', async () => {
  const said = vi.spyOn(console, 'error').mockImplementation(() => {});
  let count = 0;
  const attempt = (): Promise<never> => Promise.reject(new Error(`attempt ${(count += 1)}`));
  await expect(persistently('installing curl', attempt, [0, 0])).rejects.toThrow('attempt 3');
  said.mockRestore();
});
