/** Where alerts go: receives Alertmanager's webhook format and keeps everything, in order. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

interface WebhookAlert {
  readonly status: 'firing' | 'resolved';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly fingerprint: string;
}

interface Notification {
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  readonly body: { readonly version: string; readonly status: string; readonly receiver: string; readonly alerts: readonly WebhookAlert[] };
}

export interface Webhook {
  readonly url: string;
  readonly notifications: readonly Notification[];
  /** Every alert that was told since (epoch milliseconds), in order. Without what this machine itself has to say (its kernel log, its disks): that is no test's doing. */
  alerts(since?: number): readonly WebhookAlert[];
  /** What to answer from now on; 200 at first. */
  answerWith(status: number): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startWebhook(): Promise<Webhook> {
  const notifications: Notification[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.once('end', () => {
      if (status < 300)
        notifications.push({ receivedAt: Date.now(), body: JSON.parse(Buffer.concat(pieces).toString('utf8')) as Notification['body'] });
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    notifications,
    alerts: (since = 0) =>
      notifications
        .filter(({ receivedAt }) => receivedAt >= since)
        .flatMap(({ body }) => body.alerts)
        .filter(({ labels }) => labels['alertname'] !== 'HostCondition'),
    answerWith: (next) => {
      status = next;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
