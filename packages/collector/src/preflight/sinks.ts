/** Whether the receivers of alerts can be reached: their name, their port, and TLS where they speak it. Nothing is asked or posted. */
import type { Clock } from '@relight/shared/clock';
import { connectReason } from '@relight/shared/connect-reason';
import { ok, warning, type Finding } from '@relight/shared/finding';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { sinkAddress } from '../alerts/sinks/sink-address.ts';
import { sinkNames } from '../alerts/sinks/sink-name.ts';
import type { SinkConfig } from '../config.ts';

/** As long as a notification waits for its answer. */
const deadlineMs = 10_000;

export async function checkSinks(sinks: readonly SinkConfig[], clock: Clock): Promise<readonly Finding[]> {
  if (sinks.length === 0) return [ok('no sinks: alerts are told to nobody, relight status and relight alerts show them')];
  // Then the way is another one, which only the service itself knows.
  if (process.env['NODE_USE_ENV_PROXY'] === '1')
    return [ok('sinks are behind a proxy, and were not tried: relight test-alert posts to them')];
  const names = sinkNames(sinks.map(sinkAddress));
  return Promise.all(
    sinks.map(async ({ url }, index) => {
      const problem = await reach(new URL(url), clock);
      const what = `sink ${index + 1} (${names[index]})`;
      if (problem === null) return ok(`${what} can be reached; relight test-alert posts to it`);
      return warning(
        `${what} cannot be reached: ${problem}`,
        'Correct alerts.sinks, or start the receiver. The service starts all the same, and what nobody takes waits.',
      );
    }),
  );
}

/** Null: something listens there, and what it shows is trusted. */
function reach({ protocol, hostname, port }: URL, clock: Clock): Promise<string | null> {
  const secure = protocol === 'https:';
  const host = hostname.replace(/^\[|\]$/g, '');
  const target = { host, port: port === '' ? (secure ? 443 : 80) : Number(port) };
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const socket = secure ? connectTls({ ...target, servername: /^[\d.]+$|:/.test(host) ? '' : host }) : connect(target);
  const timer = clock.after(deadlineMs, () => end(`no answer within ${deadlineMs / 1_000} s`));
  const end = (problem: string | null): void => {
    timer.cancel();
    socket.destroy();
    resolve(problem);
  };
  socket.once(secure ? 'secureConnect' : 'connect', () => end(null));
  socket.on('error', (thrown: Error) => end(reasonOf(thrown)));
  return promise;
}

/** With several addresses Node gives an error without words of its own. */
function reasonOf(thrown: Error): string {
  const first = thrown instanceof AggregateError ? (thrown.errors[0] as Error) : thrown;
  return /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/.test((first as NodeJS.ErrnoException).code ?? '')
    ? `${connectReason(first)}; an authority of your own is trusted with NODE_EXTRA_CA_CERTS=FILE, here as in the environment of the service`
    : connectReason(first);
}
