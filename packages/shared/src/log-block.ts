/** Blocks of log lines: how they look (log-block-frame.ts), how they are made, read and merged. */
export * from './log-block-frame.ts';
export * from './log-block-merge.ts';
export * from './log-block-open.ts';
export * from './log-block-pack.ts';
