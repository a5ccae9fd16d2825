/** Composition: everything of the collector is made and wired here, and nowhere else. */
import type { Clock } from '@relight/shared/clock';
import { RelightError, toRelightError, errorMessage } from '@relight/shared/errors';
import type { ProtocolRange } from '@relight/shared/protocol-version';
import fastify, { type FastifyBaseLogger } from 'fastify';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { Doorkeeper } from './access/doorkeeper.ts';
import { Front } from './access/front.ts';
import { RefusalBook } from './access/refusal-book.ts';
import { Revocations } from './access/revocations.ts';
import { markMade, ownTlsFiles, tlsFilesOf } from './access/tls-files.ts';
import { TokenExpiry } from './access/token-expiry.ts';
import { startAlerts } from './alerts/start.ts';
import { registerJoin } from './api/join.ts';
import { sendFrameworkProblem, sendProblem } from './api/problem.ts';
import { registerApi } from './api/register.ts';
import { Bus } from './bus.ts';
import type { CollectorConfig } from './config.ts';
import type { AdmissionLimits } from './ingest/admission.ts';
import { Allowances, type AllowanceLimits } from './ingest/allowances.ts';
import { IngestCounters } from './ingest/counters.ts';
import { AgentGateway } from './ingest/gateway.ts';
import { LiveFleet } from './ingest/live-fleet.ts';
import { LogDamageBook } from './ingest/log-damage.ts';
import { Pace, type PaceLimits } from './ingest/pace.ts';
import { StoreHealth } from './ingest/store-health.ts';
import { readerPool } from './logs/reader-pool.ts';
import { startRetention } from './retention-timer.ts';
import { serviceStatus } from './service-status.ts';
import { diskMetrics } from './store/disk-metrics.ts';
import { openStore, takeDataDir, type SqliteStore } from './store/sqlite-store.ts';
import type { CollectorEvent } from './store/store.ts';

/** No body that the API takes comes near it. */
const bodyBytesMax = 64 * 1024;

export interface CollectorOptions {
  readonly config: CollectorConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly version: string;
  /** [0, 1), for jitter. */
  readonly random?: () => number;
  readonly admission?: AdmissionLimits;
  readonly allowance?: AllowanceLimits;
  readonly pace?: PaceLimits;
  /** Of the agents' protocol; absent: what this version speaks. */
  readonly protocols?: ProtocolRange;
  /** Nothing can be stored any more, and nothing but a new process mends that. */
  readonly onFatal?: (error: RelightError) => void;
  /** Stands between the collector and its store, in tests that make it slow or break it. */
  readonly wrapStore?: (store: SqliteStore) => SqliteStore;
}

export interface Collector {
  /** @throws RelightError `port-taken` */
  listen(): Promise<{ readonly url: string }>;
  /** Settles with the next answer of the writing thread, well or badly. Rejects when it has ended. */
  proveProgress(): Promise<void>;
  /** What it is doing, in one line. `url`: of listen. */
  words(url: string): string;
  /** Sends agents away for a moment, ends every stream, commits what is under way. */
  close(): Promise<void>;
}

/** @throws RelightError of openStore, or `config-invalid`: the certificate cannot be used. Nothing is left open then. */
export async function createCollector(options: CollectorOptions): Promise<Collector> {
  const { config, clock, logger, version, random = Math.random, admission, allowance, pace, protocols, onFatal } = options;
  const log = (message: string, error: RelightError): void => logger.warn({ err: error, code: error.code }, message);
  const health = new StoreHealth({ clock, warn: log, info: (message) => logger.info(message) });
  // A store in trouble fails everything that is written, over and over: health says it once.
  const warn = (message: string, error: RelightError): void => {
    if (error.code !== 'store-failed' || health.trouble() === null) log(message, error);
  };
  const damage = new LogDamageBook({ clock, warn: log });
  // Threads and timers hold the process, and the lock with it: what throws below must not leave one of them.
  await using halfMade = new AsyncDisposableStack();
  const lock = takeDataDir(config.dataDir);
  halfMade.defer(() => lock.release());
  // Before the store is opened: what is wrong with the certificate says so at once, not after an upgrade of the schema.
  const front = new Front({
    files: tlsFilesOf(config),
    clock,
    warn: log,
    info: (message) => logger.info(message),
    tell: (event) => tell(event),
  });
  const opened = await openStore({
    lock,
    dataDir: config.dataDir,
    clock,
    onLogDamage: (found) => damage.found(found),
    onBackgroundError: (error) => warn('a stamp could not be written', error),
    ...(onFatal === undefined ? {} : { onWriterDeath: onFatal }),
  });
  const store = health.watch(options.wrapStore?.(opened) ?? opened);
  halfMade.defer(() => store.close());
  const bus = new Bus();
  const revocations = new Revocations({ store, clock });
  halfMade.defer(() => revocations.close());
  const doorkeeper = new Doorkeeper({ store, clock, trustedProxies: config.trustedProxies });
  const refusals = new RefusalBook({ store, clock });
  const tell = (event: CollectorEvent): void => {
    store.commitOwnEvent(event).then(
      (stored) => bus.publish('events', [stored]),
      (error: unknown) => warn('an event cannot be stored', toRelightError(error)),
    );
  };
  const tokenExpiry = new TokenExpiry({ store, clock, warn: log, tell });
  damage.tellTo(store, (event) => bus.publish('events', [event]));
  const allowances = new Allowances({ clock, warn, ...(allowance === undefined ? {} : { limits: allowance }) });
  const fleet = new LiveFleet({ store, bus, clock, config: config.liveness, forget: config.forget, refusals, allowances, warn });
  halfMade.defer(() => fleet.stop());
  const { heartbeatMs } = config.liveness;
  const counters = new IngestCounters();
  const gateway = new AgentGateway({
    store: counters.watch(store, clock),
    fleet,
    clock,
    heartbeatMs,
    random,
    warn,
    counters,
    doorkeeper,
    refusals,
    revocations,
    ...(admission === undefined ? {} : { admission }),
    allowances,
    pace: new Pace({ clock, warn, ...(pace === undefined ? {} : { limits: pace }) }),
    ...(protocols === undefined ? {} : { protocols }),
  });
  halfMade.defer(() => gateway.close());
  const loggerInstance: FastifyBaseLogger = logger.child({ part: 'api' }, { level: 'warn' });
  const app = fastify({
    loggerInstance,
    bodyLimit: bodyBytesMax,
    forceCloseConnections: true,
    frameworkErrors: sendFrameworkProblem,
    serverFactory: (listener) => front.serve(listener),
  });
  app.get('/healthz', () => ({ status: 'ok' }));
  // Ready is proven by a read of the store, and by writes that succeed.
  app.get('/readyz', (_request, reply) => {
    const trouble = health.trouble();
    // Not thrown: the log has said it, and a probe asks every few seconds.
    if (trouble !== null) return sendProblem(reply, trouble);
    return { status: 'ok', alerts: store.alerts({ state: 'firing', limit: 1 }).length >= 0 };
  });
  const logs = readerPool(config.dataDir, (found) => damage.found(found));
  registerApi(app, {
    store,
    bus,
    fleet,
    clock,
    version,
    logs,
    doorkeeper,
    refusals,
    revocations,
    tokens: { store, revocations },
    sinks: { sinks: () => alerts.desk.sinks(), test: (places, about) => alerts.desk.test(places, about) },
    metrics: () => [
      ...gateway.metrics(),
      ...fleet.metrics(),
      ...alerts.families(),
      ...damage.families(),
      ...diskMetrics(config.dataDir),
      ...front.families(),
      ...tokenExpiry.families(),
    ],
  });
  registerJoin(app, { store, clock, refusals, fleet });
  gateway.attach(app.server);
  const alerts = startAlerts({ store, bus, fleet, clock, config: config.alerts, logger, random, allowances });
  halfMade.defer(() => alerts.close());
  const retention = startRetention({ store, bus, clock, limits: config.retention, logger });
  if (config.tls === null && front.secure) markOwn(config.dataDir, log);
  // Whole: from here on close() ends it, in the order that agents and readers need.
  halfMade.move();
  return {
    async listen() {
      try {
        await app.listen(config.listen);
      } catch (cause) {
        throw listenError(config.listen, cause);
      }
      front.start();
      tokenExpiry.start();
      return { url: urlOf(app.server.address() as AddressInfo, front.secure) };
    },
    proveProgress: () => opened.proveWriting(),
    words: (url) =>
      serviceStatus({ url, hosts: fleet.hosts(), trouble: health.trouble()?.message ?? null, failingSinks: alerts.failingSinks() }),
    async close() {
      front.close();
      tokenExpiry.close();
      revocations.close();
      await fleet.stop();
      await gateway.close();
      await Promise.all([app.close(), alerts.close(), retention.close()]);
      await logs.close();
      await store.close();
    },
  };
}

/** A full disk, say, is no reason not to start. */
function markOwn(dataDir: string, warn: (message: string, error: RelightError) => void): void {
  try {
    markMade(ownTlsFiles(dataDir));
  } catch (error) {
    warn('the mark that this collector has a certificate cannot be written', toRelightError(error));
  }
}

function listenError({ host, port }: CollectorConfig['listen'], cause: unknown): RelightError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') {
    const advice = `To see who has it: ss -ltnp 'sport = :${port}'. Stop it, or set another listen: in the configuration.`;
    return new RelightError('port-taken', `${host}:${port} is in use already`, { cause, advice });
  }
  if (code === 'EACCES') {
    const advice =
      'A port below 1024 is for root: take another one, or give the service CAP_NET_BIND_SERVICE (systemctl edit relight-collector).';
    return new RelightError('config-invalid', `cannot listen on ${host}:${port}: ${errorMessage(cause)}`, { cause, advice });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new RelightError('config-invalid', `cannot listen on ${host}:${port}: ${errorMessage(cause)}`, { cause });
  }
  return toRelightError(cause);
}

function urlOf({ address, family, port }: AddressInfo, secure: boolean): string {
  return `${secure ? 'https' : 'http'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
