/** Puts the API on a server: authentication, problems, routes, /metrics. */
import type { FastifyInstance } from 'fastify';
import { Doorkeeper } from '../access/doorkeeper.ts';
import { RefusalBook } from '../access/refusal-book.ts';
import { auditRoutes } from './audit.ts';
import { registerAuth } from './auth.ts';
import { historyRoutes } from './history.ts';
import { hostRoutes } from './hosts.ts';
import { IncidentMetrics } from './incident-metrics.ts';
import { incidentRoutes } from './incidents.ts';
import { logRoutes } from './logs.ts';
import { MetricsPage } from './metrics-page.ts';
import type { MetricFamily } from './metrics-text.ts';
import { fleetMetrics, processMetrics } from './metrics.ts';
import { openapi } from './openapi.ts';
import { registerProblems } from './problem.ts';
import { ReadyMetrics } from './ready-metrics.ts';
import { mount, type ApiDeps } from './route.ts';
import { sinkRoutes } from './sinks.ts';
import { OpenStreams } from './sse.ts';
import { streamRoutes } from './stream.ts';
import { tokenRoutes } from './tokens.ts';

/** Call it before `listen`. Its hooks hold for every route of `app`; only /healthz answers without a token. */
export function registerApi(app: FastifyInstance, deps: ApiDeps): void {
  const streams = new OpenStreams();
  const routes = [
    ...hostRoutes(deps),
    ...historyRoutes(deps),
    ...incidentRoutes(deps),
    ...auditRoutes(deps),
    ...tokenRoutes(deps),
    ...sinkRoutes(deps),
    ...logRoutes(deps, streams),
    ...streamRoutes(deps, streams),
  ];
  const incidents = new IncidentMetrics(deps);
  const ready = new ReadyMetrics(deps.bus);
  const description = openapi(routes, deps.version);

  registerProblems(app);
  const doorkeeper = deps.doorkeeper ?? new Doorkeeper({ store: deps.store, clock: deps.clock, trustedProxies: [] });
  const refusals = deps.refusals ?? new RefusalBook(deps);
  registerAuth(app, { ...deps, doorkeeper, refusals });
  // An open stream would hold `close` up for ever.
  app.addHook('preClose', async () => streams.endAll());
  function* families(): Generator<MetricFamily> {
    yield* fleetMetrics(deps.fleet, deps.store);
    yield* incidents.families(deps.clock.now());
    yield* ready.families();
    yield* deps.metrics?.() ?? [];
    yield* processMetrics(deps.version);
  }
  const page = new MetricsPage({ clock: deps.clock, families });
  app.get('/metrics', { exposeHeadRoute: false }, async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await page.get()),
  );
  void app.register(
    async (api) => {
      mount(api, routes, { ...deps, refusals });
      api.get('/openapi.json', { exposeHeadRoute: false }, () => description);
    },
    { prefix: '/api/v1' },
  );
}
