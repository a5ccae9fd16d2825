import { expect, test } from 'vitest';
import { detectLevel } from './level.ts';

test.each([
  // Python
  ['2026-01-31 12:00:00,123 ERROR train.py:12 -- lost', 'error'],
  ['WARNING:root:low memory', 'warning'],
  ['2026-01-31 12:00:00,123 - my.module - CRITICAL - out', 'critical'],
  ['2026-01-31 12:00:00.123 | INFO     | mod:fn:1 - loguru', 'info'],
  ['Traceback (most recent call last):', 'error'],
  // Ray
  ['[2026-01-31 12:00:00,123 I 123 456] (raylet) node_manager.cc:12: up', 'info'],
  ['[2026-01-31 12:00:00,123 E 123 456] (gcs_server) gcs.cc:1: down', 'error'],
  ['(raylet) [2026-01-31 12:00:00,123 W 1 2] (raylet) memory_monitor.cc:9: low', 'warning'],
  ['2026-01-31 12:00:00,123\tINFO worker.py:1234 -- Started a local Ray instance.', 'info'],
  ['\u001b[36m(train pid=12, ip=10.0.0.1)\u001b[0m ERROR 01-31 12:00:00 [core.py:1] lost', 'error'],
  // vLLM, JAX, TensorFlow, NCCL
  ['INFO 01-31 12:00:00 [api_server.py:12] ready', 'info'],
  ['(EngineCore_0 pid=77) WARNING 01-31 12:00:00 [core.py:1] slow', 'warning'],
  ['2026-01-31 12:00:00.123456: W external/xla/xla.cc:1] text', 'warning'],
  ['host-1:123:456 [0] NCCL WARN Bootstrap : no socket', 'warning'],
  ['host-1:123:456 [0] NCCL INFO Channel 00', 'info'],
  // klog, glog, absl
  ['E0131 12:00:00.123456       1 leaderelection.go:330] lost', 'error'],
  ['I20260131 12:00:00.123456 1 main.cc:1] up', 'info'],
  ['F0131 12:00:00.123456 1 main.cc:1] Check failed', 'critical'],
  // JSON, logfmt
  ['{"time":"2026","level":"warn","msg":"x"}', 'warning'],
  ['{"severity": "ERROR", "message": "x"}', 'error'],
  ['{"msg":"said \\"level\\":\\"error\\"","lvl":"debug"}', 'debug'],
  ['time=2026-01-31T12:00:00Z level=error msg="x"', 'error'],
  ['ts=1 caller=x.go lvl=dbug', null],
  // Java, Rust, Go, nginx, syslog
  ['2026-01-31T12:00:00.000Z  WARN 1 --- [main] o.s.Boot : text', 'warning'],
  ['2026-01-31 12:00:00,123 [main] ERROR com.example.Main - text', 'error'],
  ['[2026-01-31T12:00:00Z INFO  server] text', 'info'],
  ["thread 'main' panicked at src/main.rs:2:5:", 'error'],
  ['Exception in thread "main" java.lang.IllegalStateException: x', 'error'],
  ['panic: runtime error: index out of range', 'critical'],
  ['2026/01/31 12:00:00 [error] 12#0: *1 open() failed', 'error'],
  ['<11>1 2026-01-31T12:00:00Z host app - - - text', 'error'],
  ['<165>Jan 31 12:00:00 host app: text', 'info'],
  ['[ INFO ] text', 'info'],
  ['[warning] text', 'warning'],
  ['error: could not compile', 'error'],
  ['Error: connect ECONNREFUSED', 'error'],
  ['2026-01-31 12:00:00 - some-logger -- a-b ----- [WARNING] - text', 'warning'],
  ['2026-01-31 12:00:00,123 | a | b | c-d | ERROR | x', 'error'],
  ['2026-01-31 12:00:00,123 one two three four ERROR x', null],
  ['2026-01-31 a INFO b ERROR x', 'error'],
  [`2026-01-31 12:00:00 ${'-'.repeat(30)} ERROR`, 'error'],
  ['DEBUG text', 'debug'],
  // Doubt
  ['no errors were found', null],
  ['an error happened', null],
  ['information is power', null],
  ['ERRORS: 0', null],
  ['step 12 loss 0.3 INFORMATIVE', null],
  ['{"level":30,"msg":"pino says info, Python says warning"}', null],
  ['{"error":"none"}', null],
  ['I am a line', null],
  ['<999> x', null],
  ['', null],
])('%s', (line, level) => expect(detectLevel(line)).toBe(level));

test('a long line costs no more than its beginning', () => {
  const before = process.cpuUsage();
  for (const text of [
    ' '.repeat(60_000),
    // Once as one expression: 4 s for ten of these, a minute for one with twice as many dashes.
    `2026-01-31 12:00:00 ${'-'.repeat(40)}`,
    `2026-01-31 ${'-|'.repeat(30_000)} ERROR`,
    '[('.repeat(30_000),
    `2026-01-31 ${'a '.repeat(30_000)}`,
    `{${'"level" '.repeat(8_000)}`,
  ]) {
    for (let i = 0; i < 100; i += 1) expect(detectLevel(text)).toBeNull();
  }
  // Microseconds: what others do on the machine meanwhile is not counted.
  expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
});
