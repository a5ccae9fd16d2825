import { expect, it } from 'vitest';
import { classify, portOf } from './classify.ts';
import { blamesDaemon, daemonReasons } from './ray-words.ts';

/** Of Ray 2.60, shortened in the middle of what is not looked at. */
const timedOut = [
  '    raise Exception(',
  'Exception: The current node timed out during startup. This could happen because some of the raylet failed to startup or the GCS has become overloaded.',
];
const fatal = (daemon: string, port: number) =>
  `[2026-11-22 04:40:07,698 C 173 173] (${daemon}) grpc_server.cc:134:  An unexpected system state has occurred. You have likely discovered a bug in Ray. Please report this issue at https://github.com/ray-project/ray/issues and we'll work with you to fix it. Check failed: server_ Failed to start the grpc server. The specified port is ${port}. This means that Ray's core components will not be able to function correctly. If the server startup error message is \`Address already in use\`, it indicates the server fails to start because the port is already used by other processes (such as --node-manager-port). Try running sudo lsof -i :${port} to check if there are other processes listening to the port.`;
const grpc = (port: number, error: string, errno: number) =>
  `E1122 04:40:07.533636949     173 chttp2_server.cc:1059]                UNKNOWN:No address added out of total 1 resolved for '0.0.0.0:${port}' {created_time:"2026-11-22T04:40:07.533585372+00:00", children:[UNKNOWN:Failed to add any wildcard listeners {children:[UNKNOWN:Address family not supported by protocol {errno:97, os_error:"Address family not supported by protocol", syscall:"socket", target_address:"[::]:${port}"}, UNKNOWN:Unable to configure socket {fd:40, children:[UNKNOWN:${error} {errno:${errno}, os_error:"${error}", syscall:"bind"}]}]}]}`;
const stack = [
  '*** StackTrace Information ***',
  '/usr/local/lib/python3.11/dist-packages/ray/core/src/ray/raylet/raylet(+0xff770a) [0x561f6e85170a] ray::operator<<()',
];

it('a port of the raylet that is taken: with the port, which Ray itself does not say', () => {
  expect(blamesDaemon(timedOut)).toBe(true);
  expect(classify('process', timedOut, 1)).toBeNull();
  const reasons = daemonReasons([...timedOut, grpc(6700, 'Address already in use', 98), fatal('raylet', 6700), ...stack]);
  expect(reasons).toEqual(['Ray cannot listen on 0.0.0.0:6700: Address already in use']);
  const known = classify('process', [...timedOut, ...reasons], 1);
  expect(known).toMatchObject({ code: 'address-in-use', cause: reasons[0] });
  expect(portOf(known?.cause ?? '')).toBe(6_700);
});

it("a head says the fatal line itself, and its port is not the line's number", () => {
  const said = [
    'RuntimeError: Failed to start GCS.  Last 1 lines of error files:',
    fatal('gcs_server', 6_701),
    '.Please check gcs_server.out',
  ];
  expect(blamesDaemon(said)).toBe(true);
  const reasons = daemonReasons(said);
  expect(reasons).toEqual(['gcs_server: cannot listen on port 6701']);
  const known = classify('process', [...said, ...reasons], 1);
  expect(known?.code).toBe('address-in-use');
  expect(portOf(known?.cause ?? '')).toBe(6_701);
});

it('a head that has found the other program in place of its GCS', () => {
  const said = '[2026-11-22 05:03:45,332 E 21 29] rpc_client.h:204: Failed to connect to GCS within 20 seconds. GCS may have been killed.';
  expect(blamesDaemon([said])).toBe(true);
  expect(daemonReasons([said])).toEqual([]);
});

it('another refusal is not taken for a port in use, whatever the advice behind it says', () => {
  const reasons = daemonReasons([grpc(80, 'Permission denied', 13), fatal('raylet', 80)]);
  expect(reasons).toEqual(['Ray cannot listen on 0.0.0.0:80: Permission denied']);
  expect(classify('process', [...timedOut, ...reasons], 1)).toBeNull();
});

it('what a crash says, without its stack, and how a child of `ray start --block` ended', () => {
  const crash = (said: string) => `[2026-11-22 04:45:02,918 E 723 723] (raylet) logging.cc:474: ${said}`;
  const said = [
    '[2026-11-22 04:44:58,033 I 723 723] (raylet) metrics_agent_client.cc:59: Exporter initialized.',
    crash('*** SIGSEGV received at time=1795322702 on cpu 1 ***'),
    crash('PC: @     0x7fd8111def36  (unknown)  epoll_wait'),
    crash('    @     0x7fd811112050  (unknown)  (unknown)'),
    '2026-11-22 04:45:03,190\tERR scripts.py:128 -- \u001B[31m----- END raylet.out tail (exit code(s)=-11 (signal 11)) -----\u001B[39m',
    '2026-11-22 04:45:03,190\tERR scripts.py:1315 -- \u001B[31mRemaining processes will be killed.\u001B[39m',
  ];
  expect(blamesDaemon(said)).toBe(false);
  expect(daemonReasons(said)).toEqual([
    'raylet: *** SIGSEGV received at time=1795322702 on cpu 1 ***',
    'raylet ended with exit code -11 (signal 11)',
  ]);
  const agent =
    '[2026-11-22 04:46:19,669 E 970 994] (raylet) agent_manager.cc:87: The raylet exited immediately because one Ray agent failed, agent_name = dashboard_agent.';
  expect(daemonReasons([agent])).toEqual([
    'raylet: The raylet exited immediately because one Ray agent failed, agent_name = dashboard_agent.',
  ]);
});

it('few and short, and none of what is not Ray', () => {
  const many = Array.from({ length: 40 }, (_, n) => `[2026-11-22 04:45:02,918 E 1 1] (raylet) a.cc:1: ${n} ${'x'.repeat(2_000)}`);
  const reasons = daemonReasons(many);
  expect(reasons).toHaveLength(5);
  expect(Math.max(...reasons.map(({ length }) => length))).toBeLessThanOrEqual(400);
  expect(daemonReasons(['E1122 04:40:07.5 173 main.cc:1] training failed', 'Error: listen EADDRINUSE :::80'])).toEqual([]);
});
