import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { askUrl } from './ask-url.ts';

/** On the first of these ports that is free. */
async function serve(answer: RequestListener, [port = 0, ...others]: readonly number[] = [0]): Promise<string> {
  const server = createServer(answer);
  const listening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (!listening) return serve(answer, others);
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
const refusedByFetch = [10_080, 6_697, 6_669, 6_668, 6_000];
const patient = (): AbortSignal => AbortSignal.timeout(5_000);

test('a port that browsers must not ask is asked', async () => {
  const url = await serve((_request, response) => response.writeHead(204).end(), refusedByFetch);
  await expect(fetch(url)).rejects.toMatchObject({ cause: { message: 'bad port' } });
  expect(await askUrl(url, patient())).toBe(204);
  await expect(askUrl('http://127.0.0.1:1/', patient())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('redirects are followed, relative ones too, but not in a circle', async () => {
  const url = await serve(({ url: path }, response) => {
    if (path === '/ready') response.writeHead(503).end();
    else response.writeHead(302, { location: path === '/' ? 'ready' : '/round' }).end();
  });
  expect(await askUrl(url, patient())).toBe(503);
  await expect(askUrl(`${url}round`, patient())).rejects.toThrow('more than 5 redirects');
});

test('an answer that never comes ends with the signal', async () => {
  const url = await serve(() => undefined);
  await expect(askUrl(url, AbortSignal.timeout(50))).rejects.toMatchObject({ name: 'AbortError' });
});
