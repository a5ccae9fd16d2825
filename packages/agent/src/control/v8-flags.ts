/**
 * An agent lives for months beside somebody else's work and is idle nearly all of that time, so memory counts more than speed.
 * Imported first, by main.ts: what is compiled and allocated before it is not covered. Measured in docs/benchmarks.md.
 */
import { setFlagsFromString } from 'node:v8';

// The young generation stays as it begins. V8 would let it grow to 16 MB while the configuration is read, for good.
setFlagsFromString('--semi-space-growth-factor=1');
// Collect rather than grow.
setFlagsFromString('--optimize-for-size');
// The optimising compilers hold 6 MB of code and more of working memory, and save next to nothing: except in the few loops over
// every byte of a log, which are ten times as fast. Their names begin with `hot`, and a bundle keeps names.
setFlagsFromString('--turbo-filter=hot*');
setFlagsFromString('--no-maglev');
// Nor does the one that only translates: 2 MB for nothing that could be measured, idle and at 130,000 lines/s.
setFlagsFromString('--no-sparkplug');
