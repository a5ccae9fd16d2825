/** Readers of single values. Each message names the bad value and what is allowed. */
import { posix } from 'node:path';
import { parseDurationMs, parseSizeBytes } from '@relight/shared/units';
import { suggest } from '@relight/shared/suggest';
import type { Reader } from './fields.ts';
import { describe, type Located } from './located.ts';
import { fail } from './problems.ts';
import { isVariableName, templateNames } from './interpolate.ts';

/** Text that is not empty. Numbers are refused: 010 or 1.10 would not stay what the person wrote. */
export const text: Reader<string> = (node) => {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') {
    return fail(node, `must be text, not ${describe(node)}${node.kind === 'scalar' && node.value !== null ? '; put it in quotes' : ''}`);
  }
  if (node.value.trim() === '') fail(node, 'must not be empty');
  if (node.value.includes('\0')) fail(node, 'must not contain a NUL character');
  return node.value;
};

/** Text in which somebody might expect variables, in vain. */
export const plain: Reader<string> = (node) => {
  const value = text(node);
  return value.includes('${') ? fail(node, `${describe(node)} uses a variable; variables are not interpolated in this field`) : value;
};

/** As Compose takes values of maps: text, numbers and booleans, as they were written. May be empty. */
export const looseText: Reader<string> = (node) => {
  if (node.kind === 'scalar' && node.value !== null)
    return node.source.includes('\0') ? fail(node, 'must not contain a NUL character') : node.source;
  return fail(node, `must be text, a number or a boolean, not ${describe(node)}`);
};

export const boolean: Reader<boolean> = (node) =>
  node.kind === 'scalar' && typeof node.value === 'boolean' ? node.value : fail(node, `must be true or false, not ${describe(node)}`);

export function number(min: number, max: number): Reader<number> {
  return (node) => {
    const value = numeric(node);
    if (value === undefined || value < min || value > max) return fail(node, `must be a number ${range(min, max)}, not ${describe(node)}`);
    return value;
  };
}

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (node) => {
    const value = numeric(node);
    if (value === undefined || !Number.isSafeInteger(value) || value < min || value > max) {
      return fail(node, `must be a whole number ${range(min, max)}, not ${describe(node)}`);
    }
    return value;
  };
}

/** Compose takes "1.5" for 1.5. */
function numeric(node: Located): number | undefined {
  if (node.kind !== 'scalar') return undefined;
  if (typeof node.value === 'number') return Number.isFinite(node.value) ? node.value : undefined;
  return typeof node.value === 'string' && /^-?\d+(\.\d+)?$/.test(node.value) ? Number(node.value) : undefined;
}

const range = (min: number, max: number): string => (max >= Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`);

/** Milliseconds. Bare numbers are refused, since nobody knows whether 30 is seconds. */
export function duration(minMs = 1): Reader<number> {
  return (node) => {
    const ms = node.kind === 'scalar' ? parseDurationMs(node.source) : undefined;
    if (ms === undefined) return fail(node, `must be a duration with a unit such as 500ms, 5s, 10m or 2h, not ${describe(node)}`);
    return ms < minMs ? fail(node, `must be longer than zero, not ${describe(node)}`) : ms;
  };
}

/** Bytes. */
export const size: Reader<number> = (node) => {
  const bytes = node.kind === 'scalar' && typeof node.value === 'string' ? parseSizeBytes(node.value) : undefined;
  if (bytes !== undefined && bytes > 0) return bytes;
  return fail(node, `must be a size with a unit such as 64mb or 100gb, not ${describe(node)}`);
};

export function choice<const T extends string>(...allowed: readonly T[]): Reader<T> {
  return (node) => {
    const value = node.kind === 'scalar' ? allowed.find((item) => item === node.source) : undefined;
    if (value !== undefined) return value;
    const near = node.kind === 'scalar' ? suggest(node.source, allowed) : undefined;
    const hint = near === undefined ? '' : `; did you mean "${near}"?`;
    return fail(node, `must be one of ${allowed.join(', ')}, not ${describe(node)}${hint}`);
  };
}

/** Names of workloads, containers and hosts: what the engine, labels and paths can all carry. */
export const name: Reader<string> = (node) => {
  const value = node.kind === 'scalar' && node.value !== null ? node.source : text(node);
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(value)) return value;
  return fail(
    node,
    `${describe(node)} is not a name; a name begins with a letter or digit and has at most 63 of a-z, A-Z, 0-9, "_", "." and "-"`,
  );
};

/** An absolute path inside a container. */
export const containerPath: Reader<string> = (node) => {
  const value = plain(node);
  if (!value.startsWith('/')) fail(node, `${describe(node)} must be an absolute path inside the container, such as /data`);
  return trimSlashes(posix.normalize(value));
};

/** A path on the host; a relative one counts from the directory of the configuration file, as Compose has it. */
export function hostPath(directory: string): Reader<string> {
  return (node) => {
    const value = plain(node);
    if (value.startsWith('~')) fail(node, `${describe(node)} has "~", which depends on who runs the agent; write the absolute path`);
    return trimSlashes(posix.resolve(directory, value));
  };
}

/** A path on the host that other programs and people know too: where the configuration file lies means nothing to them. */
export function sharedHostPath(directory: string): Reader<string> {
  return (node) => {
    const path = hostPath(directory)(node);
    if (!plain(node).startsWith('/')) {
      fail(node, `${describe(node)} must be an absolute path on the host: others have to find it, too; if it lies there, write ${path}`);
    }
    return path;
  };
}

export const trimSlashes = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, '') : path);

/** Text with `${NAME}`, every name declared. `valid` judges it with each variable replaced by `1`. */
export function template(vars: ReadonlySet<string>, what: string, valid: (text: string) => boolean): Reader<string> {
  return (node) => {
    const value = text(node);
    checkTemplate(node, value, vars);
    const shape = value.replaceAll(/\$\{[^}]*\}/g, '1');
    // One variable alone may hold the whole value; it is judged when it has one.
    if (!/^\$\{[^}]*\}$/.test(value) && !valid(shape)) fail(node, `must be ${what}, not ${describe(node)}`);
    return value;
  };
}

/** May be empty, unlike `template`. */
export function looseTemplate(vars: ReadonlySet<string>): Reader<string> {
  return (node) => {
    const value = looseText(node);
    checkTemplate(node, value, vars);
    return value;
  };
}

function checkTemplate(node: Located, value: string, vars: ReadonlySet<string>): void {
  const { names, fault } = templateNames(value);
  if (fault !== null) fail(node, `${describe(node)} ${fault}`);
  for (const used of names) {
    if (vars.has(used)) continue;
    const near = suggest(used, vars);
    const hint = near === undefined ? `declared: ${vars.size === 0 ? 'none' : [...vars].join(', ')}` : `did you mean "\${${near}}"?`;
    fail(node, `"\${${used}}" names no variable of vars; ${hint}`);
  }
}

export function isAddress(value: string): boolean {
  const match = /^(?:\[[0-9a-fA-F:.%]+\]|[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9_])?):(\d{1,5})$/.exec(value);
  const port = Number(match?.[1]);
  return match !== null && port >= 1 && port <= 65_535;
}

export function isUrl(value: string, protocols: readonly string[]): boolean {
  return URL.canParse(value) && protocols.includes(new URL(value).protocol) && new URL(value).hostname !== '' && !/\s/.test(value);
}

export const variableName = (key: string, at: Located): void => {
  if (!isVariableName(key)) fail(at, `"${key}" is not a variable name; letters, digits and "_", not beginning with a digit`);
  if (key.startsWith('RELIGHT_')) fail(at, `"${key}" begins with RELIGHT_, which is reserved`);
};

/** `10 per 10m`. */
export const perWindow: Reader<{ readonly count: number; readonly windowMs: number }> = (node) => {
  const match = node.kind === 'scalar' ? /^(\d+)\s+per\s+(\S+)$/.exec(node.source.trim()) : null;
  const windowMs = parseDurationMs(match?.[2] ?? '');
  const count = Number(match?.[1]);
  if (match === null || windowMs === undefined || windowMs <= 0 || count < 1 || !Number.isSafeInteger(count)) {
    return fail(node, `must be a count per duration such as "10 per 10m", not ${describe(node)}`);
  }
  return { count, windowMs };
};
