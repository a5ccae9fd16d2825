/**
 * Alertmanager's own API (`POST /api/v2/alerts`), so that its routes, silences and pages are those of Relight's alerts, too.
 *
 * An alert without an end lasts for Alertmanager's `resolve_timeout` (default 5 min) after it was received, so what fires is said again
 * every minute, as Prometheus does: "Clients are expected to continuously re-send alerts as long as they are still active (usually on the
 * order of 30 seconds to 3 minutes)", https://prometheus.io/docs/alerting/latest/clients/. Labels say which alert it is.
 */
import { isoTime } from '@relight/shared/api';
import type { AlertRecord } from '../../store/store.ts';
import { runbookOf } from '../runbook.ts';
import { tellingOf } from '../telling.ts';
import { post } from './post.ts';
import type { Sink } from './sink.ts';

const repeatMs = 60_000;
/** Half a megabyte: proxies often take no more than one. */
const alertsPerMessage = 500;
const path = '/api/v2/alerts';

/** `configured`: with or without the path of the API; before it stands the prefix that Alertmanager may be served below. */
export function alertmanagerAddress(configured: string): string {
  const url = new URL(configured);
  const prefix = url.pathname.replace(/\/+$/, '');
  url.pathname = prefix.endsWith(path) ? prefix : prefix + path;
  return url.href;
}

/** `address`: of its API. */
export function alertmanagerSink(name: string, address: string, externalUrl: string): Sink {
  return {
    name,
    format(alert, { told, at }) {
      const now = severityOf(alert);
      // There it is another alert when it gets worse.
      const over = told === null || told === now ? [] : [postable(alert, told, at, externalUrl)];
      return JSON.stringify([...over, postable(alert, now, alert.endsAt, externalUrl)]);
    },
    repeat: {
      everyMs: repeatMs,
      bodies(firing) {
        const told = firing.filter((alert) => tellingOf(alert).told !== null);
        const alerts = told.map((alert) => postable(alert, severityOf(alert), null, externalUrl));
        return Array.from({ length: Math.ceil(alerts.length / alertsPerMessage) }, (_, index) =>
          JSON.stringify(alerts.slice(index * alertsPerMessage, (index + 1) * alertsPerMessage)),
        );
      },
    },
    send: (body, signal) => post(address, body, signal),
  };
}

/** The one that was told: what has become worse while something else explains it is not known there. */
const severityOf = (alert: AlertRecord): string => tellingOf(alert).told ?? alert.severity;

function postable(alert: AlertRecord, severity: string, endsAt: number | null, externalUrl: string): object {
  const { labels, startsAt, summary, rule } = alert;
  return {
    labels: { ...labels, severity },
    annotations: { summary, description: `${rule} since ${isoTime(startsAt)}: ${summary}`, runbook: runbookOf(alert) },
    startsAt: isoTime(startsAt),
    // It takes no end before the beginning, which is seen when a clock was set back.
    ...(endsAt === null ? {} : { endsAt: isoTime(Math.max(startsAt, endsAt)) }),
    ...(externalUrl === '' ? {} : { generatorURL: `${externalUrl}/api/v1/alerts` }),
  };
}
