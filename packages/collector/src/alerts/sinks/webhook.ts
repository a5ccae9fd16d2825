/**
 * Alertmanager's webhook format, version 4, so that everything that understands Alertmanager understands Relight
 * (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config). One alert a message.
 */
import { isoTime } from '@relight/shared/api';
import type { AlertRecord } from '../../store/store.ts';
import { post } from './post.ts';
import type { Sink } from './sink.ts';

/** How Go writes "no time": Alertmanager's mark of an alert that has not ended. */
const goZeroTime = '0001-01-01T00:00:00Z';

export function webhookSink(name: string, url: string, externalUrl: string): Sink {
  return {
    name,
    format: (alert) => JSON.stringify(webhookBody(alert, name, externalUrl)),
    send: (body, signal) => post(url, body, signal),
  };
}

function webhookBody(alert: AlertRecord, receiver: string, externalUrl: string): object {
  const labels: Record<string, string> = { ...alert.labels, severity: alert.severity };
  const groupLabels = alert.labels;
  const annotations = {
    summary: alert.summary,
    description: `${alert.rule} ${alert.state} since ${isoTime(alert.startsAt)}: ${alert.summary}`,
  };
  return {
    version: '4',
    groupKey: `{}:${labelText(groupLabels)}`,
    truncatedAlerts: 0,
    status: alert.state,
    receiver,
    groupLabels,
    commonLabels: labels,
    commonAnnotations: annotations,
    externalURL: externalUrl,
    alerts: [
      {
        status: alert.state,
        labels,
        annotations,
        startsAt: isoTime(alert.startsAt),
        endsAt: alert.endsAt === null ? goZeroTime : isoTime(alert.endsAt),
        generatorURL: externalUrl === '' ? '' : `${externalUrl}/api/v1/alerts`,
        fingerprint: fingerprint(groupLabels),
      },
    ],
  };
}

const sorted = (labels: Readonly<Record<string, string>>): [string, string][] =>
  Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));

const labelText = (labels: Readonly<Record<string, string>>): string =>
  `{${sorted(labels)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(', ')}}`;

/** FNV-1a, 64 bits, over the sorted labels, as Prometheus does it. Without the severity: a worse alert is the same alert. */
function fingerprint(labels: Readonly<Record<string, string>>): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(
    sorted(labels)
      .map(([key, value]) => `${key}\xff${value}\xff`)
      .join(''),
    'latin1',
  )) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0');
}
