import { RelightError } from '@relight/shared/errors';
import { readEnvFiles, redactor } from '../config/secrets.ts';
import type { StageContext } from './stage.ts';

type Redact = (text: string) => string;

/** The last lines of a command stand in errors and events, and a command may print a secret of `env_file`: it is replaced there. */
export async function redacting<T>(context: StageContext, work: (context: StageContext) => Promise<T>): Promise<T> {
  const { envFile } = context.spec.container;
  if (envFile.length === 0) return work(context);
  // An unreadable file is the failure of `create`, and no other operation's.
  const secrets = await readEnvFiles(envFile).catch((): Record<string, string> => ({}));
  const redact = redactor(Object.values(secrets));
  try {
    return await work({
      ...context,
      emit: (event) => context.emit({ ...event, message: redact(event.message), data: redactData(event.data, redact) }),
    });
  } catch (thrown) {
    if (!(thrown instanceof RelightError)) throw thrown;
    const { code, recoverable, advice, data } = thrown;
    throw new RelightError(code, redact(thrown.message), { recoverable, advice, data: redactData(data, redact) });
  }
}

function redactData(data: Readonly<Record<string, unknown>>, redact: Redact): Record<string, unknown> {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, typeof value === 'string' ? redact(value) : value]));
}
