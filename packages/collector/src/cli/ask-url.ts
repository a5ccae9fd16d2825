/**
 * One GET of a URL that a person has given: its status, redirects followed. With node:http, for fetch refuses ports that are served all
 * the same (6000, 10080 and some eighty more, a rule for browsers).
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

const redirectsMax = 5;

/** Rejects with the connection's error, or with that of the signal. The body is not read. */
export async function askUrl(url: string, signal: AbortSignal, redirects = redirectsMax): Promise<number> {
  const { statusCode = 0, headers } = await get(url, signal);
  const moved = statusCode >= 300 && statusCode < 400 && headers.location !== undefined;
  if (!moved) return statusCode;
  if (redirects === 0) throw new Error(`more than ${redirectsMax} redirects`);
  return askUrl(new URL(headers.location ?? '', url).href, signal, redirects - 1);
}

function get(url: string, signal: AbortSignal): Promise<Pick<IncomingMessage, 'statusCode' | 'headers'>> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, headers: { 'user-agent': 'relight', connection: 'close' }, signal };
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options, (response) => {
      resolve(response);
      response.destroy();
    });
    request.once('error', reject);
    request.end();
  });
}
