/** `--mount type=bind,source=…,target=…` → Compose's volumes and tmpfs. */
import { RelightError } from '@relight/shared/errors';

export interface ParsedMount {
  readonly volume: readonly unknown[];
  readonly tmpfs: readonly string[];
}

const keyOf: Readonly<Record<string, string>> = { src: 'source', dst: 'target', destination: 'target', ro: 'readonly' };

/** What has no place in the configuration is named in `lost`. Fails with `usage`. */
export function parseMount(text: string, lost: string[]): ParsedMount {
  const options = new Map<string, string>();
  for (const part of text.split(',')) {
    const [key = '', ...value] = part.replaceAll('"', '').split('=');
    options.set(keyOf[key] ?? key, value.length === 0 ? 'true' : value.join('='));
  }
  const take = (key: string): string | undefined => {
    const value = options.get(key);
    options.delete(key);
    return value;
  };
  const type = take('type') ?? 'volume';
  const source = take('source');
  const target = take('target');
  const readOnly = /^(true|1)$/.test(take('readonly') ?? '');
  const propagation = take('bind-propagation');
  const size = take('tmpfs-size');
  const mode = take('tmpfs-mode');
  if (target === undefined) throw new RelightError('usage', `--mount ${text}: needs target=…`);
  for (const key of options.keys()) lost.push(`--mount ${key}=…: not supported yet`);
  if (type === 'tmpfs') {
    const parts = [readOnly ? 'ro' : '', size === undefined ? '' : `size=${size}`, mode === undefined ? '' : `mode=${mode}`].filter(
      (part) => part !== '',
    );
    return { volume: [], tmpfs: [parts.length === 0 ? target : `${target}:${parts.join(',')}`] };
  }
  if ((type !== 'bind' && type !== 'volume') || source === undefined) {
    lost.push(
      `--mount ${text}: ${source === undefined ? 'an anonymous volume cannot be found again; give it a name' : `the type ${type} is not supported yet`}`,
    );
    return { volume: [], tmpfs: [] };
  }
  const extra = { ...(readOnly ? { read_only: true } : {}), ...(propagation === undefined ? {} : { bind: { propagation } }) };
  return { volume: [{ type, source, target, ...extra }], tmpfs: [] };
}
