import { describe, expect, it } from 'vitest';
import { parsePathPattern, type PathPattern } from './path-pattern.ts';

const parsed = (text: string): PathPattern => {
  const pattern = parsePathPattern(text);
  if (typeof pattern === 'string') throw new Error(pattern);
  return pattern;
};
const last = (text: string, name: string): boolean => parsed(`/${text}`).names.at(-1)?.matches(name) === true;

describe('names', () => {
  it.each([
    ['raylet.*', 'raylet.out', true],
    ['raylet.*', 'raylet', false],
    ['*', 'anything', true],
    ['*', '.hidden', false],
    ['.*', '.hidden', true],
    ['worker-?.log', 'worker-7.log', true],
    ['worker-?.log', 'worker-17.log', false],
    ['[a-cx]*', 'b1', true],
    ['[a-cx]*', 'x', true],
    ['[a-cx]*', 'd', false],
    ['[!a-c]', 'd', true],
    ['[!a-c]', 'b', false],
    ['[]]', ']', true],
    ['a.c', 'abc', false],
    ['*a*b*c', 'xxaxxbxxc', true],
    ['*a*b*c', 'xxaxxbxx', false],
    ['plain', 'plain', true],
  ])('%s and %s: %s', (pattern, name, expected) => {
    expect(last(pattern, name)).toBe(expected);
  });

  it('does not take longer for a name that somebody has made for that', () => {
    const before = process.threadCpuUsage();
    expect(last(`${'*a'.repeat(50)}*b`, 'a'.repeat(255))).toBe(false);
    // Microseconds: what others do on the machine meanwhile is not counted, nor what V8 does beside.
    expect(process.threadCpuUsage(before).user).toBeLessThan(100_000);
  });
});

describe('paths', () => {
  it.each([
    ['/tmp/ray/session_latest/logs/raylet.*', 4],
    ['/var/log/app.log', 2],
    ['/data/*/logs/out', 1],
    ['/*', 0],
  ])('%s: %i names come before what a stream is called by', (text, fixed) => {
    expect(parsed(text).fixed).toBe(fixed);
  });

  it.each([
    ['tmp/x', 'absolute'],
    ['/', 'not a directory'],
    ['/tmp/', 'not a directory'],
    ['/tmp/../etc/shadow', '".."'],
    ['/tmp/**/x', '"**"'],
    ['/tmp/[ab', '"]"'],
  ])('%s is refused: %s', (text, why) => {
    expect(parsePathPattern(text)).toContain(why);
  });
});
