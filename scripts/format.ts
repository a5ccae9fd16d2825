import { runTool } from './run.ts';

process.exitCode = await runTool('oxfmt', ['.']);
