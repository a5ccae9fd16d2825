/**
 * The collector's configuration (docs/reference/collector-configuration.md is made of its schema): YAML, then `RELIGHT_COLLECTOR_*`, then flags; the later wins. Durations become
 * milliseconds, sizes bytes, every default is filled in, the result is frozen.
 */
import { RelightError } from '@relight/shared/errors';
import { parseSelector, type Selector } from '@relight/shared/selector';
import { suggest } from '@relight/shared/suggest';
import { parseDurationMs, parseSizeBytes } from '@relight/shared/units';
import type { Severity } from '@relight/shared/event';
import { severities } from '@relight/shared/event';
import * as z from 'zod';
import { parseNetwork } from './access/client-address.ts';
import { parseYaml, type YamlText } from './yaml-document.ts';
import { usualDataDir } from './service-unit.ts';

export interface LivenessConfig {
  readonly heartbeatMs: number;
  readonly suspectAfterMs: number;
  readonly deadAfterMs: number;
  /** Nobody is declared dead within this time after the collector's start. */
  readonly restartGraceMs: number;
  /** How long a host that said it reboots may take. */
  readonly bootGraceMs: number;
}

/** `5 in 30m` */
export interface CountWithin {
  readonly count: number;
  readonly withinMs: number;
}

export interface AlertsConfig {
  readonly repeatedRestarts: { readonly warning: CountWithin; readonly critical: CountWithin; readonly resolveAfterMs: number };
  readonly hostDead: { readonly severity: Severity };
  /** How long nobody may have started an agent again that was stopped. */
  readonly hostStopped: { readonly afterMs: number };
  /** How long it must last before it is told: a short absence of a head or an engine is everyday. */
  readonly dependencyDown: { readonly afterMs: number };
  readonly engineDown: { readonly afterMs: number };
  /** It is shown from its first moment on. */
  readonly sliceDown: { readonly afterMs: number };
  /** How webhooks are told of what many hosts have alike (alerts/gathering.ts). */
  readonly group: { readonly waitMs: number; readonly intervalMs: number };
  readonly sinks: readonly SinkConfig[];
}

export const sinkTypes = ['webhook', 'alertmanager'] as const;

export interface SinkConfig {
  readonly type: (typeof sinkTypes)[number];
  readonly url: string;
}

export interface RetentionConfig {
  readonly logsMs: number;
  /** Compressed bytes of log bodies. */
  readonly logsBytesMax: number;
  readonly eventsMs: number;
}

/** PEM files. */
export interface TlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Hosts with these labels that have been gone for so long are forgotten. */
export interface ForgetRule {
  readonly label: Selector;
  /** As it was written. */
  readonly text: string;
  readonly afterMs: number;
}

export interface CollectorConfig {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDir: string;
  /** Null: what `relight-collector init` has made, else plain HTTP. */
  readonly tls: TlsConfig | null;
  /** Addresses and networks whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  /** The first rule that fits a host counts. */
  readonly forget: readonly ForgetRule[];
  readonly liveness: LivenessConfig;
  readonly alerts: AlertsConfig;
  readonly retention: RetentionConfig;
}

/**
 * A string field with a unit or form of its own: `parse` gives undefined for what it does not understand. `short` is the form in the
 * reference (docs/reference/collector-configuration.md), which is made of this schema. What is `secret` is not repeated in an error.
 */
function text<T>(parse: (value: string) => T | undefined, form: string, short: string, secret = false): z.ZodType<T> {
  const read = z.union([z.string(), z.literal(0)], { error: `must be ${form}` }).transform((value, ctx) => {
    const parsed = parse(String(value));
    if (parsed !== undefined) return parsed;
    ctx.addIssue({ code: 'custom', message: secret ? `must be ${form}` : `"${value}" is not ${form}` });
    return z.NEVER;
  });
  return read.meta({ form: short });
}

const duration = text(
  (value) => {
    const ms = parseDurationMs(value);
    return ms === undefined || ms <= 0 ? undefined : ms;
  },
  'a duration above zero such as 500ms, 25s or 10m',
  'duration',
);
const size = text(parseSizeBytes, 'a size such as 512mb or 50gb', 'size');
const countWithin = text(parseCountWithin, 'a count within a time such as "3 in 10m"', 'count in duration');
const listenAddress = text(parseListen, 'HOST:PORT such as 127.0.0.1:7460 or [::1]:7460', 'HOST:PORT');

function parseCountWithin(value: string): CountWithin | undefined {
  const match = /^([1-9]\d{0,5})\s+in\s+(\S+)$/.exec(value.trim());
  const withinMs = parseDurationMs(match?.[2] ?? '');
  return match === null || withinMs === undefined ? undefined : { count: Number(match[1]), withinMs };
}

function parseListen(value: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return undefined;
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '0.0.0.0' : match[2]), port };
}

const webhookUrl = text(
  (value) => {
    const url = URL.parse(value);
    return url?.protocol === 'http:' || url?.protocol === 'https:' ? value : undefined;
  },
  'an http or https URL',
  'http or https URL',
  // Also a mistyped one has its password or token.
  true,
);

const absolutePath = z
  .string({ error: 'must be an absolute path' })
  .startsWith('/', 'must be an absolute path')
  .meta({ form: 'absolute path' });
const network = text(
  (value) => (parseNetwork(value) === undefined ? undefined : value),
  'an address or a network such as 127.0.0.1 or 10.0.0.0/29',
  'address or network',
);
const labelSelector = text(
  (value) => {
    const label = value === '' ? [] : parseSelector(value);
    return label === undefined ? undefined : { label, text: value };
  },
  'a label selector such as pool=spot',
  'label selector',
);

export const collectorSchema = z.strictObject({
  version: z.literal(1, { error: 'must be 1' }),
  listen: listenAddress.default({ host: '127.0.0.1', port: 7460 }).describe('agents, API and metrics on one port; port 0: any free one'),
  data_dir: z
    .string()
    .min(1)
    .meta({ form: 'path' })
    .default(usualDataDir)
    .describe(
      'one running collector each. Under the unit of the package another one has to be [opened](../install.md#another-data-directory) first',
    ),
  tls: z
    .strictObject({
      cert_file: absolutePath.describe(
        'PEM, the chain behind it in the same file. Without `tls`: what `relight-collector init` has made, else plain HTTP. A new file is used within a minute',
      ),
      key_file: absolutePath.describe("PEM, for the collector's account alone"),
    })
    .optional(),
  trusted_proxies: z
    .array(network)
    .default([])
    .describe(
      'whose `X-Forwarded-For` is believed, for limits and the audit log: the proxy itself, not a network in which others are, who could call themselves any address',
    ),
  forget: z
    .array(
      z.strictObject({
        label: labelSelector.default({ label: [], text: '' }).describe('such as `pool=spot`; empty: every host'),
        after: duration.describe("of being `dead` or `stopped`; from then on when the collector's clock is set by more than a minute"),
      }),
    )
    .default([])
    .describe('hosts that are gone for good are taken out of the picture by the first rule that fits; their events and logs stay'),
  liveness: z
    .strictObject({
      heartbeat: duration.default(10_000).describe('how often agents report, ± 10 %; told to them when they connect'),
      suspect_after: duration.default(25_000).describe('of silence: two heartbeats missed. Above `heartbeat`'),
      dead_after: duration.default(60_000).describe('of silence: six missed. Above `suspect_after`'),
      restart_grace: duration.default(120_000).describe('after its own start the collector declares nobody dead'),
      boot_grace: duration.default(15 * 60_000).describe('for a host that said that it reboots'),
    })
    .prefault({}),
  alerts: z
    .strictObject({
      repeated_restarts: z
        .strictObject({
          warning: countWithin.default({ count: 3, withinMs: 10 * 60_000 }).describe('restarts of one workload that make a warning'),
          critical: countWithin
            .default({ count: 5, withinMs: 30 * 60_000 })
            .describe('that make it critical; an exhausted restart budget is critical as well'),
          resolve_after: duration.default(15 * 60_000).describe('of quiet, from a host that can be heard'),
        })
        .prefault({}),
      host_dead: z
        .strictObject({
          severity: z
            .enum(severities, { error: `must be one of ${severities.join(', ')}` })
            .default('critical')
            .describe('of a host that has fallen silent'),
        })
        .prefault({}),
      // A maintenance by hand, with a reboot in it, is over by then; what was forgotten is still known to whoever did it.
      host_stopped: z
        .strictObject({ after: duration.default(30 * 60_000).describe('how long an agent may be stopped before somebody is told') })
        .prefault({}),
      // A head that is restarted in order answers again within a minute.
      dependency_down: z
        .strictObject({ after: duration.default(60_000).describe('how long workloads must have waited for it') })
        .prefault({}),
      // An engine restarts within 20 s, also with hundreds of containers (seen with Engine 20.10).
      engine_down: z.strictObject({ after: duration.default(60_000).describe('how long the engine must have been silent') }).prefault({}),
      // Its hosts try again after 30 s: a failure that is mended by then wakes nobody.
      slice_down: z
        .strictObject({
          after: duration
            .default(60_000)
            .describe('how long hosts of a slice must have waited for another one before it is told; it is shown at once'),
        })
        .prefault({}),
      // Alertmanager's defaults of group_wait and group_interval.
      group: z
        .strictObject({
          wait: duration
            .default(30_000)
            .describe(
              'how long webhooks are not told of `HostStopped`, `HostMissing`, `WorkloadHeld` and `HostCondition`, for other hosts that have the same; what is critical is told at once, and again at most this often',
            ),
          interval: duration.default(5 * 60_000).describe('how often they are told at most of what has changed in such a group since'),
        })
        .prefault({}),
      sinks: z
        .array(
          z.strictObject({
            type: z
              .enum(sinkTypes, { error: `must be ${sinkTypes.join(' or ')}` })
              .describe("`webhook`: Alertmanager's webhook format, version 4; `alertmanager`: Alertmanager itself"),
            url: webhookUrl.describe('where to; of `alertmanager` without `/api/v2/alerts`'),
          }),
        )
        .default([])
        .describe('where notifications go'),
    })
    .prefault({}),
  retention: z
    .strictObject({
      logs: duration.default(14 * 86_400_000).describe('by time of receipt'),
      logs_bytes: size.default(50 * 1024 ** 3).describe('of compressed lines; the oldest go first'),
      events: duration.default(90 * 86_400_000).describe('resolved alerts, incidents and the audit log too'),
    })
    .prefault({}),
});

/** What flags or the environment say; both use the field names of the file. */
export interface ConfigOverrides {
  readonly listen?: string | undefined;
  readonly dataDir?: string | undefined;
}

/** `RELIGHT_COLLECTOR_LISTEN`, `RELIGHT_COLLECTOR_DATA_DIR`. */
export function overridesFromEnvironment(env: Readonly<Record<string, string | undefined>>): ConfigOverrides {
  return { listen: env['RELIGHT_COLLECTOR_LISTEN'], dataDir: env['RELIGHT_COLLECTOR_DATA_DIR'] };
}

/**
 * Reads the configuration. `source` is null where there is no file: then the defaults hold.
 * @throws RelightError `config-invalid` with one line for every mistake: `file:line:column: path: message`.
 */
export function readConfig(
  source: { readonly file: string; readonly text: string } | null,
  overrides: readonly ConfigOverrides[] = [],
): CollectorConfig {
  const document = source === null ? null : parseYaml(source.text, source.file);
  const parsed = collectorSchema.safeParse(document?.value ?? { version: 1 });
  if (!parsed.success) {
    throw invalid(parsed.error.issues.flatMap((issue) => describeIssue(issue, document)));
  }
  const value = parsed.data;
  const { liveness, alerts, retention } = value;
  if (liveness.suspect_after <= liveness.heartbeat || liveness.dead_after <= liveness.suspect_after) {
    const place = `${document?.where(['liveness']) ?? ''}liveness: `;
    throw invalid([{ place, text: `${place}heartbeat < suspect_after < dead_after must hold` }]);
  }
  const config: CollectorConfig = {
    listen: overrides.reduce((listen, layer) => overrideListen(layer.listen) ?? listen, value.listen),
    dataDir: overrides.reduce((dataDir, layer) => layer.dataDir ?? dataDir, value.data_dir),
    tls: value.tls === undefined ? null : { certFile: value.tls.cert_file, keyFile: value.tls.key_file },
    trustedProxies: value.trusted_proxies,
    forget: value.forget.map(({ label, after }) => ({ ...label, afterMs: after })),
    liveness: {
      heartbeatMs: liveness.heartbeat,
      suspectAfterMs: liveness.suspect_after,
      deadAfterMs: liveness.dead_after,
      restartGraceMs: liveness.restart_grace,
      bootGraceMs: liveness.boot_grace,
    },
    alerts: {
      repeatedRestarts: {
        warning: alerts.repeated_restarts.warning,
        critical: alerts.repeated_restarts.critical,
        resolveAfterMs: alerts.repeated_restarts.resolve_after,
      },
      hostDead: { severity: alerts.host_dead.severity },
      hostStopped: { afterMs: alerts.host_stopped.after },
      dependencyDown: { afterMs: alerts.dependency_down.after },
      engineDown: { afterMs: alerts.engine_down.after },
      sliceDown: { afterMs: alerts.slice_down.after },
      group: { waitMs: alerts.group.wait, intervalMs: alerts.group.interval },
      sinks: alerts.sinks,
    },
    retention: { logsMs: retention.logs, logsBytesMax: retention.logs_bytes, eventsMs: retention.events },
  };
  return Object.freeze(config);
}

function overrideListen(value: string | undefined): { host: string; port: number } | undefined {
  if (value === undefined) return undefined;
  const parsed = parseListen(value);
  if (parsed === undefined) throw new RelightError('config-invalid', `--listen: "${value}" is not HOST:PORT such as 127.0.0.1:7460`);
  return parsed;
}

interface Mistake {
  /** For those who may not see what stands in the file: position and names of fields, none that somebody has made up. */
  readonly place: string;
  /** The whole line. */
  readonly text: string;
}

const invalid = (mistakes: readonly Mistake[]): RelightError =>
  new RelightError('config-invalid', mistakes.map(({ text }) => text).join('\n'), {
    data: { places: mistakes.map(({ place }) => place.replace(/: $/, '')) },
  });

function describeIssue(issue: z.core.$ZodIssue, document: YamlText | null): Mistake[] {
  const at = (path: readonly PropertyKey[], shown = path): string => {
    const name = shown.map(String).join('.');
    return `${document?.where(path) ?? ''}${name === '' ? '' : `${name}: `}`;
  };
  if (issue.code !== 'unrecognized_keys') return [{ place: at(issue.path), text: `${at(issue.path)}${issue.message}` }];
  const allowed = keysAt(collectorSchema, issue.path);
  return issue.keys.map((key) => {
    const near = suggest(key, allowed);
    const hint = near === undefined ? `allowed here: ${allowed.join(', ')}` : `did you mean "${near}"?`;
    const path = [...issue.path, key];
    // A secret that has slipped to where a key belongs is one, too.
    return { place: at(path, issue.path), text: `${at(path)}unknown key; ${hint}` };
  });
}

/** The keys that the schema knows at `path`. */
function keysAt(root: z.ZodType, path: readonly PropertyKey[]): string[] {
  let here: unknown = root;
  for (const step of [...path, undefined]) {
    while (here instanceof z.ZodDefault || here instanceof z.ZodPrefault || here instanceof z.ZodOptional) here = here.unwrap();
    if (step === undefined) break;
    if (here instanceof z.ZodArray) here = here.element;
    else if (here instanceof z.ZodObject) here = (here.shape as Record<PropertyKey, unknown>)[step];
  }
  return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
}
