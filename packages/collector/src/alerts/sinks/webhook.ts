/**
 * Alertmanager's webhook format, version 4, so that everything that understands Alertmanager understands Relight
 * (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config). One alert a message, or one group of alerts;
 * a large group is several messages of one `groupKey`. Each says of the whole group whether it fires and what it is about, and has its part of the alerts.
 */
import { isoTime } from '@relight/shared/api';
import type { AlertRecord } from '../../store/store.ts';
import type { Notice } from '../gathering.ts';
import { runbookOf } from '../runbook.ts';
import { post } from './post.ts';
import type { Sink } from './sink.ts';

/** How Go writes "no time": Alertmanager's mark of an alert that has not ended. */
const goZeroTime = '0001-01-01T00:00:00Z';

/** Of one message. */
const alertsMax = 500;
/** Of one message: nginx takes 1 MiB (`client_max_body_size`), other proxies less. One alert that is larger has a message to itself. */
const bytesMax = 250_000;
/** More names help nobody; the count says how many. */
const namedMax = 5;

export function webhookSink(name: string, url: string, externalUrl: string): Sink {
  const bodies = (notice: Notice): string[] => webhookBodies(notice, name, externalUrl).map((body) => JSON.stringify(body));
  return {
    name,
    format: (alert) => bodies({ labels: alert.labels, alerts: [alert] }).join(''),
    formatGroup: bodies,
    send: (text, signal) => post(url, text, signal),
  };
}

type Labels = Readonly<Record<string, string>>;

function webhookBodies({ labels: groupLabels, alerts }: Notice, receiver: string, externalUrl: string): object[] {
  const listed = alerts.map((alert) => ({
    status: alert.state,
    labels: labelsOf(alert),
    annotations: annotationsOf(alert),
    startsAt: isoTime(alert.startsAt),
    endsAt: isoEnd(alert) ?? goZeroTime,
    generatorURL: externalUrl === '' ? '' : `${externalUrl}/api/v1/alerts`,
    fingerprint: fingerprint(alert.labels),
  }));
  const [first, ...more] = alerts;
  const common = {
    version: '4',
    groupKey: `{}:${labelText(groupLabels)}`,
    truncatedAlerts: 0,
    status: alerts.some(({ state }) => state === 'firing') ? 'firing' : 'resolved',
    receiver,
    groupLabels,
    commonLabels: commonOf(alerts.map((alert) => labelsOf(alert))),
    commonAnnotations: first === undefined || more.length > 0 ? { summary: summaryOf(alerts) } : annotationsOf(first),
    externalURL: externalUrl,
  };
  return partsOf(listed, Buffer.byteLength(JSON.stringify({ ...common, alerts: [] }))).map((part) => ({ ...common, alerts: part }));
}

/** In their order. @param ownBytes of a message beside its alerts */
function partsOf<T>(listed: readonly T[], ownBytes: number): readonly (readonly T[])[] {
  const parts: T[][] = [];
  let bytes = Infinity;
  for (const one of listed) {
    const more = Buffer.byteLength(JSON.stringify(one)) + 1;
    const last = parts.at(-1);
    if (last === undefined || last.length >= alertsMax || bytes + more > bytesMax) {
      parts.push([one]);
      bytes = ownBytes + more;
    } else {
      last.push(one);
      bytes += more;
    }
  }
  return parts;
}

/** One that ends by itself, as a test does, has not ended yet. */
const isoEnd = ({ state, endsAt }: AlertRecord): string | null => (endsAt === null || state === 'firing' ? null : isoTime(endsAt));

const labelsOf = ({ labels, severity }: AlertRecord): Labels => ({ ...labels, severity });

const annotationsOf = (alert: AlertRecord): Labels => {
  const { summary, rule, startsAt } = alert;
  const end = isoEnd(alert);
  return {
    summary,
    description: `${rule} ${end === null ? 'firing since' : `resolved at ${end}, fired since`} ${isoTime(startsAt)}: ${summary}`,
    runbook: runbookOf(alert),
  };
};

function commonOf([first = {}, ...others]: readonly Labels[]): Labels {
  return Object.fromEntries(Object.entries(first).filter(([name, value]) => others.every((labels) => labels[name] === value)));
}

/** Of several: on how many hosts, which, and what the first of them says. */
function summaryOf(alerts: readonly AlertRecord[]): string {
  const firing = alerts.filter(({ state }) => state === 'firing');
  const ended = alerts.length - firing.length;
  const [shown, over] = firing.length === 0 ? [alerts, 'is over on '] : [firing, 'on '];
  const names = [...new Set(shown.map(({ host }) => host))];
  const named = names.slice(0, namedMax).join(', ');
  const rest = names.length > namedMax ? ` and ${names.length - namedMax} more` : '';
  const count = names.length === 1 ? '1 host' : `${names.length} hosts`;
  const overElsewhere = firing.length === 0 || ended === 0 ? '' : ` (over on ${ended})`;
  const { rule, labels, summary } = shown[0] as AlertRecord;
  const about = [labels['subject'] ?? rule, ...(labels['workload'] === undefined ? [] : [`of ${labels['workload']}`])].join(' ');
  return `${about} ${over}${count}: ${named}${rest}${overElsewhere}; the first: ${summary}`;
}

const sorted = (labels: Labels): [string, string][] => Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));

const labelText = (labels: Labels): string =>
  `{${sorted(labels)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(', ')}}`;

/** FNV-1a, 64 bits, over the sorted labels, as Prometheus does it. Without the severity: a worse alert is the same alert. */
function fingerprint(labels: Labels): string {
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
