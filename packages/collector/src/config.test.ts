import { describe, expect, it } from 'vitest';
import { overridesFromEnvironment, readConfig } from './config.ts';

const read = (text: string) => readConfig({ file: 'c.yaml', text });

describe('collector configuration', () => {
  it.each([
    ['version: 1\nlisten: hunter2\nlisenn: x', ['c.yaml:2:1: listen', 'c.yaml:3:1']],
    ['version: 1\nliveness: {suspect_after: 70s, hunter2: x}', ['c.yaml:2:32: liveness']],
    ['version: 1\nliveness: {suspect_after: 70s}', ['c.yaml:2:1: liveness']],
    ['%YAML 1.1\n---\nversion: 1\n<<: hunter2', ['c.yaml:1:1']],
    ['version: 1\nlisten: *hunter2', ['c.yaml:2:9']],
  ])('says apart where a file is wrong, for those who may not see what stands there: %j', (text, places) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'config-invalid', data: { places } }));
  });

  it('has the documented defaults', () => {
    const config = readConfig(null);
    expect(config).toEqual({
      listen: { host: '127.0.0.1', port: 7460 },
      dataDir: '/var/lib/relight-collector',
      tls: null,
      trustedProxies: [],
      forget: [],
      liveness: { heartbeatMs: 10_000, suspectAfterMs: 25_000, deadAfterMs: 60_000, restartGraceMs: 120_000, bootGraceMs: 900_000 },
      alerts: {
        repeatedRestarts: {
          warning: { count: 3, withinMs: 600_000 },
          critical: { count: 5, withinMs: 1_800_000 },
          resolveAfterMs: 900_000,
        },
        hostDead: { severity: 'critical' },
        hostStopped: { afterMs: 1_800_000 },
        dependencyDown: { afterMs: 60_000 },
        engineDown: { afterMs: 60_000 },
        sliceDown: { afterMs: 60_000 },
        group: { waitMs: 30_000, intervalMs: 300_000 },
        sinks: [],
      },
      retention: { logsMs: 14 * 86_400_000, logsBytesMax: 50 * 1024 ** 3, eventsMs: 90 * 86_400_000 },
    });
  });

  it('reads what the documentation shows', () => {
    const config = read(`version: 1
listen: "[::1]:9000"
data_dir: /tmp/x
liveness: {heartbeat: 2s, suspect_after: 5s, dead_after: 12s, restart_grace: 30s, boot_grace: 5m}
alerts:
  repeated_restarts: {warning: 2 in 1m, critical: 4 in 5m, resolve_after: 2m}
  host_dead: {severity: warning}
  host_stopped: {after: 3s}
  dependency_down: {after: 5s}
  engine_down: {after: 7s}
  slice_down: {after: 9s}
  sinks: [{type: webhook, url: "http://alerts.example/hook"}]
retention: {logs: 1d, logs_bytes: 1gb, events: 2d}
tls: {cert_file: /etc/cert.pem, key_file: /etc/key.pem}
trusted_proxies: [10.0.0.0/8, "::1"]
forget: [{label: pool=spot, after: 1h}, {after: 7d}]
`);
    expect(config.tls).toEqual({ certFile: '/etc/cert.pem', keyFile: '/etc/key.pem' });
    expect(config.trustedProxies).toEqual(['10.0.0.0/8', '::1']);
    expect(config.forget).toEqual([
      { label: [{ key: 'pool', op: '=', value: 'spot' }], text: 'pool=spot', afterMs: 3_600_000 },
      { label: [], text: '', afterMs: 7 * 86_400_000 },
    ]);
    expect(config.listen).toEqual({ host: '::1', port: 9000 });
    expect(config.alerts.sinks).toEqual([{ type: 'webhook', url: 'http://alerts.example/hook' }]);
    expect(config.alerts).toMatchObject({
      hostStopped: { afterMs: 3_000 },
      dependencyDown: { afterMs: 5_000 },
      engineDown: { afterMs: 7_000 },
      sliceDown: { afterMs: 9_000 },
    });
    expect(config.alerts.repeatedRestarts.critical).toEqual({ count: 4, withinMs: 300_000 });
    expect(config.retention.logsBytesMax).toBe(1024 ** 3);
  });

  it('lets the environment win over the file and flags over the environment', () => {
    const env = overridesFromEnvironment({ RELIGHT_COLLECTOR_LISTEN: '0.0.0.0:1', RELIGHT_COLLECTOR_DATA_DIR: '/env' });
    const source = { file: 'c.yaml', text: 'version: 1\nlisten: 127.0.0.1:9\ndata_dir: /file\n' };
    expect(readConfig(source, [env]).listen).toEqual({ host: '0.0.0.0', port: 1 });
    expect(readConfig(source, [env, { dataDir: '/flag' }])).toMatchObject({ listen: { port: 1 }, dataDir: '/flag' });
    expect(() => readConfig(null, [{ listen: 'nonsense' }])).toThrow(/--listen: "nonsense"/);
  });

  it.each([
    ['version: 1\nlivenes: {}\n', /^c\.yaml:2:1: livenes: unknown key; did you mean "liveness"\?$/],
    ['version: 1\nliveness:\n  dead_aftr: 9s\n', /^c\.yaml:3:3: liveness\.dead_aftr: unknown key; did you mean "dead_after"\?$/],
    ['version: 1\nliveness: {dead_after: soon}\n', /^c\.yaml:2:12: liveness\.dead_after: "soon" is not a duration/],
    [
      'version: 1\nalerts:\n  sinks:\n    - {type: mail, url: "http://x"}\n',
      /^c\.yaml:4:8: alerts\.sinks\.0\.type: must be webhook or alertmanager$/,
    ],
    [
      'version: 1\nalerts: {sinks: [{type: webhook, url: "htps://u:p4ss@x/?t=p4ss"}]}\n',
      /^c\.yaml:2:34: alerts\.sinks\.0\.url: must be an http or https URL$/,
    ],
    [
      'version: 1\ntls: {cert_file: /c.pem, key_file: /k.pem, stranger: 1}\n',
      /^c\.yaml:2:44: tls\.stranger: unknown key; allowed here: cert_file, key_file$/,
    ],
    ['version: 1\ntls: {cert_file: cert.pem, key_file: /k.pem}\n', /^c\.yaml:2:7: tls\.cert_file: must be an absolute path$/],
    ['version: 1\ntrusted_proxies: [10.0.0.0/33]\n', /"10\.0\.0\.0\/33" is not an address or a network such as 127\.0\.0\.1/],
    ['version: 1\nforget:\n  - {label: pool=spot}\n', /^c\.yaml:3:5: forget\.0\.after: must be a duration above zero/],
    ['version: 2\n', /^c\.yaml:1:1: version: must be 1$/],
    ['', /version/],
    ['version: 1\nversion: 1\n', /^c\.yaml:2:1: /],
    ['version: 1\nliveness: {suspect_after: 70s}\n', /^c\.yaml:2:1: liveness: heartbeat < suspect_after < dead_after must hold$/],
    ['- a\n', /c\.yaml:1:1: /],
    ['version: 1\nretention: {logs_bytes: lots}\n', /"lots" is not a size/],
    [
      'version: 1\nretention: {logs_bytes: *50gb, logs: *x}\n',
      /^c\.yaml:2:25: there is no anchor "&50gb" before this alias\nc\.yaml:2:38: .*"&x"/,
    ],
    ['version: 1\nforget: &a [*a]\n', /^c\.yaml:2:13: the alias "\*a" contains itself$/],
    [
      `version: 1\na: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: [${'*b,'.repeat(20)}]\n`,
      /^c\.yaml:1:1: Excessive alias count/,
    ],
    ['%YAML 1.1\n---\nversion: 1\n<<: 5\n', /^c\.yaml:1:1: Merge sources must be maps/],
  ])('names the place and the mistake: %j', (text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});
