/** Does a command in the container succeed? It is no run: nothing of it outlives its deadline. */
import { lastLine } from '../stages/output.ts';
import { commandArgv } from '../stages/run-wrapper.ts';
import { measured } from './outcome.ts';
import type { Probe } from './probe.ts';

export const exec: Probe<'exec'> = (spec, context) =>
  measured(context, async () => {
    const { engine, containerId, vars, timeoutMs, signal } = context;
    const argv = commandArgv(spec.run, context.shell);
    const { exitCode, stdout, stderr } = await engine.exec(containerId, { argv, env: vars }, { timeoutMs, signal });
    if (exitCode === 0) return { ok: true, message: 'exit code 0' };
    const said = lastLine(stderr) || lastLine(stdout);
    return { ok: false, message: said === '' ? `exit code ${exitCode}` : `exit code ${exitCode}: ${said}` };
  });
