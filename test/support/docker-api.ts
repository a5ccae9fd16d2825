/** What a person does with `docker` beside Relight, as plain calls to the engine's API: Relight's own adapter stays out of it. */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';

export interface CreateBody {
  readonly HostConfig?: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

export interface DockerApi {
  /** `docker rm -f` */
  remove(container: string): Promise<void>;
  rename(container: string, name: string): Promise<void>;
  pause(container: string): Promise<void>;
  unpause(container: string): Promise<void>;
  start(container: string): Promise<void>;
  stop(container: string, graceSeconds: number): Promise<void>;
  restart(container: string, graceSeconds: number): Promise<void>;
  kill(container: string, signal?: string): Promise<void>;
  /** `docker update --restart` */
  giveRestartPolicy(container: string, policy: string): Promise<void>;
  /** A container that Relight knows nothing of, running; returns its id. `more`: of the body of the create call. */
  run(name: string, image: string, command: readonly string[], more?: CreateBody): Promise<string>;
  /** `docker logs --tail`, with the frames around the lines. */
  logs(container: string, tail: number): Promise<string>;
  /** When the engine has told of such an event of this container, epoch milliseconds; of the last hundreds that it remembers. */
  toldOf(containerId: string, action: string): Promise<readonly number[]>;
  /** The engine's own document. Null: there is no such container. */
  inspect(container: string): Promise<Record<string, unknown> | null>;
  /** A bridge network; returns its id. */
  createNetwork(name: string): Promise<string>;
  tag(image: string, repository: string, tag: string): Promise<void>;
  /** `docker rmi -f` */
  removeImage(image: string): Promise<void>;
}

export function dockerApi(socketPath: string): DockerApi {
  const call = (method: string, path: string, body?: object): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const sent = request({ socketPath, method, path, agent: false, headers }, (response) => {
        text(response).then((answer) => {
          const status = response.statusCode ?? 0;
          if (status < 300 || status === 304) resolve(answer);
          else reject(new Error(`${method} ${path}: ${status} ${answer}`));
        }, reject);
      });
      sent.once('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const act = async (container: string, action: string): Promise<void> => void (await call('POST', `/containers/${container}/${action}`));
  return {
    remove: async (container) => void (await call('DELETE', `/containers/${container}?force=1&v=1`)),
    rename: (container, name) => act(container, `rename?name=${name}`),
    pause: (container) => act(container, 'pause'),
    unpause: (container) => act(container, 'unpause'),
    start: (container) => act(container, 'start'),
    stop: (container, graceSeconds) => act(container, `stop?t=${graceSeconds}`),
    restart: (container, graceSeconds) => act(container, `restart?t=${graceSeconds}`),
    kill: (container, signal = 'KILL') => act(container, `kill?signal=${signal}`),
    giveRestartPolicy: async (container, policy) =>
      void (await call('POST', `/containers/${container}/update`, { RestartPolicy: { Name: policy } })),
    run: async (name, image, command, { HostConfig, ...more } = {}) => {
      const body = { Image: image, Cmd: command, ...more, HostConfig: { Init: true, ...HostConfig } };
      const created = await call('POST', `/containers/create?name=${name}`, body);
      const { Id: id } = JSON.parse(created) as { Id: string };
      await act(id, 'start');
      return id;
    },
    logs: (container, tail) => call('GET', `/containers/${container}/logs?stdout=1&stderr=1&tail=${tail}`),
    toldOf: async (containerId, action) => {
      const filters = encodeURIComponent(JSON.stringify({ container: [containerId], event: [action] }));
      const told = await call('GET', `/events?since=0&until=${Math.ceil(Date.now() / 1_000)}&filters=${filters}`);
      return told.split('\n').flatMap((line) => (line === '' ? [] : [(JSON.parse(line) as { timeNano: number }).timeNano / 1e6]));
    },
    inspect: async (container) => {
      const answer = await call('GET', `/containers/${container}/json`).catch((error: Error) => {
        if (error.message.includes(': 404 ')) return null;
        throw error;
      });
      return answer === null ? null : (JSON.parse(answer) as Record<string, unknown>);
    },
    createNetwork: async (name) => (JSON.parse(await call('POST', '/networks/create', { Name: name })) as { Id: string }).Id,
    tag: async (image, repository, tag) => void (await call('POST', `/images/${image}/tag?repo=${repository}&tag=${tag}`)),
    removeImage: async (image) => void (await call('DELETE', `/images/${image}?force=1`)),
  };
}
