/** The worker that the demo brings up: what a TPU or GPU host runs, small. In the form of the agent's YAML. */

export const host = 'demo-host';
export const workload = 'worker';
/** A failure counts as the first after a stable run when the worker was well for this long. */
export const stableMs = 1_000;

/** Where the process leaves its pid, as seen in the container. */
export const pidFile = '/tmp/worker.pid';

export function workerConfig(image: string, containerName: string): Readonly<Record<string, unknown>> {
  return {
    name: workload,
    container: {
      name: containerName,
      image,
      pull_policy: 'never',
      init: true,
      command: ['sleep', 'infinity'],
      // What FUSE needs in a container.
      cap_add: ['SYS_ADMIN'],
      devices: ['/dev/fuse'],
      security_opt: ['apparmor=unconfined'],
    },
    mounts: [
      {
        name: 'bucket',
        type: 'command',
        run: 'bindfs -f /srv/bucket /data',
        target: '/data',
        check: { interval: '1s', timeout: '1s', failures: 2 },
      },
    ],
    setup: [
      { name: 'fetch the data', run: "mkdir -p /srv/bucket && echo 'weights of the model' > /srv/bucket/checkpoint" },
      { mount: 'bucket' },
      { name: 'check the data', run: 'grep -q weights /data/checkpoint && echo "checkpoint found: $(cat /data/checkpoint)"' },
    ],
    process: {
      run: `echo $$ > ${pidFile}; n=0; while :; do n=$((n + 1)); echo "training step $n"; sleep 0.1; done`,
      stop_timeout: '1s',
    },
    ready: [
      { exec: 'test -e /data/checkpoint', interval: '100ms' },
      { exec: `kill -0 $(cat ${pidFile})`, interval: '100ms' },
    ],
    restart: {
      process: { initial: '200ms', max: '2s', reset_after: `${stableMs}ms` },
      container: { initial: '200ms', max: '2s', reset_after: `${stableMs}ms` },
    },
  };
}

/** Four of the five scenes are failures that count: the third makes a warning. */
export const collectorConfig = {
  alerts: { repeated_restarts: { warning: '3 in 10m', critical: '5 in 30m', resolve_after: '15m' } },
};
