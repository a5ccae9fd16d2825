/** The other end of the control socket: what the commands use. */
import { RelightError, toRelightError } from '@relight/shared/errors';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { type ActionOutcome, actionOutcomeSchema, type ControlAction } from './action.ts';
import { type ReloadOutcome, reloadOutcomeSchema, type ReloadRequest } from './reload.ts';
import { controlSocketPath, groupSocketPath, runtimeDir, shortSocketPath } from './socket-path.ts';
import { type AgentStatus, agentStatusSchema } from './status.ts';
import { type Recent, recentSchema } from './support/recent.ts';

/** An agent that is alive answers in milliseconds; an action waits for nothing but being taken up. */
const answerTimeoutMs = 10_000;
/** An agent that has just begun answers when it is up; a workload begins when the earlier one of its name has let go. */
const reloadTimeoutMs = 60_000;

/** All calls fail with agent-unreachable when nobody answers, and with protocol when the answer is not understood. */
export class ControlClient {
  readonly #stateDir: string;
  readonly #runDir: string;

  /** @param runDir where sockets for a group are; a test has another one */
  constructor(stateDir: string, runDir = runtimeDir) {
    this.#stateDir = stateDir;
    this.#runDir = runDir;
  }

  async status(): Promise<AgentStatus> {
    return parseAs(agentStatusSchema, await this.#call('GET', '/status'));
  }

  async recent(): Promise<Recent> {
    return parseAs(recentSchema, await this.#call('GET', '/recent'));
  }

  async act(action: ControlAction): Promise<ActionOutcome> {
    return parseAs(actionOutcomeSchema, await this.#call('POST', '/actions', JSON.stringify(action)));
  }

  /** Answered when it is taken up. */
  async reload(request: ReloadRequest): Promise<ReloadOutcome> {
    return parseAs(reloadOutcomeSchema, await this.#call('POST', '/reload', JSON.stringify(request), reloadTimeoutMs));
  }

  async #call(method: string, path: string, body?: string, timeoutMs = answerTimeoutMs): Promise<string> {
    const ask = { method, path, body, timeoutMs };
    try {
      return await askAt(controlSocketPath(this.#stateDir), ask).catch((thrown: unknown) => {
        if (!isForbidden(thrown)) throw thrown;
        // Not root: a member of the group that the configuration names, or nobody who may ask.
        return askAt(groupSocketPath(this.#stateDir, this.#runDir), ask).catch((second: unknown) => {
          throw saysNobodyThere(second) ? thrown : second;
        });
      });
    } catch (thrown) {
      throw unreachable(thrown, this.#stateDir, timeoutMs);
    }
  }
}

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  readonly timeoutMs: number;
}

async function askAt(socketPath: string, { method, path, body, timeoutMs }: Ask): Promise<string> {
  using socket = shortSocketPath(socketPath);
  const call = request({
    socketPath: socket.path,
    method,
    path,
    headers: { host: 'localhost', 'content-type': 'application/json' },
    signal: AbortSignal.timeout(timeoutMs),
  });
  call.end(body);
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  return text(response);
}

const codeOf = (thrown: unknown): string => (thrown as NodeJS.ErrnoException).code ?? '';
const isForbidden = (thrown: unknown): boolean => ['EACCES', 'EPERM'].includes(codeOf(thrown));
const saysNobodyThere = (thrown: unknown): boolean => ['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(codeOf(thrown));

/** What a call has failed with: no agent listens there. */
export const isNobodyThere = (thrown: unknown): thrown is RelightError =>
  thrown instanceof RelightError && thrown.code === 'agent-unreachable' && saysNobodyThere(thrown.cause);

function unreachable(thrown: unknown, stateDir: string, timeoutMs: number): RelightError {
  if (thrown instanceof RelightError) return thrown;
  if (isForbidden(thrown)) {
    return new RelightError('agent-unreachable', `no permission to talk to the agent in ${stateDir}`, {
      advice: 'Run this command as root (sudo relight-agent …), or as a member of the group that control.group names.',
      cause: thrown,
    });
  }
  if (saysNobodyThere(thrown)) {
    return new RelightError('agent-unreachable', `no agent is running with the state directory ${stateDir}`, { cause: thrown });
  }
  if (codeOf(thrown) === 'ABORT_ERR' || (thrown as Error).name === 'TimeoutError') {
    return new RelightError('agent-unreachable', `the agent in ${stateDir} does not answer within ${timeoutMs / 1_000} s`, {
      advice: 'Restart it (its workloads go on): systemctl restart relight-agent',
      cause: thrown,
    });
  }
  return new RelightError('agent-unreachable', `the agent in ${stateDir} cannot be reached: ${toRelightError(thrown).message}`, {
    cause: thrown,
  });
}

function parseAs<T>(schema: z.ZodType<T>, answer: string): T {
  let json: unknown;
  try {
    json = JSON.parse(answer);
  } catch (cause) {
    throw new RelightError('protocol', 'the agent answered something that is not JSON', { cause });
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const outcome = actionOutcomeSchema.safeParse(json);
  if (outcome.success && outcome.data.code === 'forbidden') {
    throw new RelightError('forbidden', outcome.data.message, { advice: 'Run this command as root: sudo relight-agent …' });
  }
  throw new RelightError(
    'protocol',
    outcome.success ? outcome.data.message : `the agent's answer is not understood: ${z.prettifyError(parsed.error)}`,
    {
      advice: 'Are agent and command of the same version?',
    },
  );
}
