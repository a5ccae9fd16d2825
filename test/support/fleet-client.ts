/** The collector as a test asks it: the operator's own client, and waiting for what must become true. */
import type { ApiAlert, ApiEvent, ApiHost, ApiLogEntry, ApiWorkload } from '@relight/shared/api';
import { ApiClient, segment, type Query } from '@relight/collector/cli/client';
import { RelightError } from '@relight/shared/errors';
import type { HostState, Phase } from '@relight/shared/phase';
import { text } from 'node:stream/consumers';
import { waitFor } from './wait.ts';

/** An agent that has lost its collector dials again within 30 s, and on a busy machine perhaps once in vain; then it has something to do. */
const heardMs = 90_000;

export class FleetClient {
  readonly api: ApiClient;

  constructor(url: string, token: string, fingerprint: string | null = null) {
    this.api = new ApiClient({ url, token, ca: null, fingerprint }, new AbortController().signal);
  }

  async hosts(): Promise<readonly ApiHost[]> {
    return (await this.api.list<ApiHost>('hosts')).items;
  }

  /** Undefined: the collector does not know it. */
  async host(name: string): Promise<ApiHost | undefined> {
    try {
      return await this.api.get<ApiHost>(`hosts/${segment(name)}`);
    } catch (error) {
      if (error instanceof RelightError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  async workload(host: string, name: string): Promise<ApiWorkload | undefined> {
    return (await this.host(host))?.workloads.find((workload) => workload.name === name);
  }

  /** In the order of their ids. */
  async events(filter: Query = {}): Promise<readonly ApiEvent[]> {
    return (await this.api.list<ApiEvent>('events', filter)).items.toSorted((a, b) => Number(a.id) - Number(b.id));
  }

  async alerts(filter: Query = {}): Promise<readonly ApiAlert[]> {
    return (await this.api.list<ApiAlert>('alerts', filter)).items;
  }

  /** Stored lines and gaps, in the order of the API. */
  async logs(filter: Query): Promise<readonly ApiLogEntry[]> {
    const lines = (await text(await this.api.stream('logs', filter))).split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as ApiLogEntry);
  }

  waitForHost(name: string, state: HostState, timeoutMs = heardMs): Promise<ApiHost> {
    return waitFor(
      async () => {
        const host = await this.host(name);
        return host?.state === state && host;
      },
      { timeoutMs, everyMs: 50, what: `host ${name} to be ${state}` },
    );
  }

  async waitForPhase(host: string, workload: string, phase: Phase, timeoutMs = heardMs): Promise<ApiWorkload> {
    let last: ApiWorkload | undefined;
    try {
      return await waitFor(
        async () => {
          last = await this.workload(host, workload);
          return last?.phase === phase && last;
        },
        { timeoutMs, everyMs: 50, what: `${host}/${workload} to be ${phase}` },
      );
    } catch (error) {
      throw new Error(`it is ${last?.phase ?? 'not known'}: ${last?.reason ?? ''}`, { cause: error });
    }
  }

  /** The first event that matches, among those that `filter` selects. */
  waitForEvent(filter: Query, matches: (event: ApiEvent) => boolean, what: string, timeoutMs = heardMs): Promise<ApiEvent> {
    return waitFor(async () => (await this.events(filter)).find(matches), { timeoutMs, everyMs: 50, what });
  }
}
