/** How failures are answered, and what becomes of output. */
import { field, type SectionReference } from './reference.ts';

export const restartSections: readonly SectionReference[] = [
  {
    path: 'workloads[].restart.process',
    anchor: 'workloadsrestartprocess',
    fields: {
      preset: field(
        'http-startup, slow-host',
        'none',
        '[a schedule from the field](configuration.md#workloadsrestartcontainer); what is written out beside it wins',
      ),
      initial: field('duration, 0 too', '`1s`'),
      max: field('duration, not below `initial`', '`60s`', 'also the pace of slow retries, and of looking again at what is held'),
      factor: field('1 to 1000', '`2`'),
      delays: field('durations, 0 too', 'none', 'every delay by itself, the last one again and again; in place of `initial` and `factor`'),
      cooldown: field('duration after count', 'none', '`5m after 3`: after every third failure in a row it waits at least so long'),
      jitter: field('0 to 1', '`0.25`', 'each delay ± 25 %'),
      reset_after: field('duration', '`10m`', 'healthy for so long, and earlier failures are forgotten'),
      budget: field('count per duration', '`10 per 10m`'),
      escalate_after: field(
        'number from 1, or null for never',
        '`3`',
        'failures in a row before the container is doubted: three of them in one container cast doubt on it',
      ),
    },
  },
  {
    path: 'workloads[].restart.container',
    anchor: 'workloadsrestartcontainer',
    fields: {
      preset: field(
        'http-startup, slow-host',
        'none',
        '[a schedule from the field](configuration.md#workloadsrestartcontainer); what is written out beside it wins',
      ),
      initial: field('duration, 0 too', '`1s`'),
      max: field('duration, not below `initial`', '`60s`'),
      factor: field('1 to 1000', '`2`'),
      delays: field('durations, 0 too', 'none', 'every delay by itself, the last one again and again; in place of `initial` and `factor`'),
      cooldown: field('duration after count', 'none', '`5m after 3`: after every third failure in a row it waits at least so long'),
      jitter: field('0 to 1', '`0.25`'),
      reset_after: field('duration', '`10m`'),
      budget: field('count per duration', '`5 per 10m`'),
      escalate_after: field('null', '`null`', 'there is no level above it yet'),
    },
  },
  {
    path: 'workloads[].logs',
    anchor: 'workloadslogs',
    fields: {
      files: field(
        'list of absolute paths inside the container, with `*`, `?` and `[a-z]` within a name',
        'none',
        'further log files, each as `file:NAME` ([how they are found](configuration.md#workloadslogs))',
      ),
      redact: field('list of patterns', 'none', 'what they match becomes `[redacted]` ([syntax](configuration.md#workloadslogs))'),
      rate_limit: field(
        'lines per duration, of each source',
        '`50000 per 1s`',
        'what is above becomes a counted gap. Far above honest logging: it protects the collector from a runaway loop',
      ),
    },
  },
];
