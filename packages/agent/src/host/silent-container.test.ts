import { describe, expect, test } from 'vitest';
import type { SilentContainer } from '../engine/silent-containers.ts';
import { silentAbout, silentConditions, silentReason } from './silent-container.ts';

const id = 'f'.repeat(64);
const ray: SilentContainer = { id, name: 'ray', since: 1_000 };
const nameless: SilentContainer = { ...ray, name: null };

describe('whose it is', () => {
  test('of the workload that knows it, whatever it is called by now', () => {
    expect(silentAbout([nameless], { container: { id }, adopted: true }, 'ray')).toBe(nameless);
    expect(silentAbout([ray], { container: { id: 'another' }, adopted: true }, 'ray')).toBeUndefined();
  });

  test('of the workload that knows none, when it has its name: nothing can be made in its place', () => {
    expect(silentAbout([ray], { container: null, adopted: true }, 'ray')).toBe(ray);
    expect(silentAbout([ray], { container: null, adopted: true }, 'other')).toBeUndefined();
  });

  test('it may be anybody’s before anything was compared, and is nobody’s afterwards', () => {
    expect(silentAbout([nameless], { container: null, adopted: false }, 'ray')).toBe(nameless);
    expect(silentAbout([nameless], { container: null, adopted: true }, 'ray')).toBeUndefined();
  });
});

describe('what is told', () => {
  const at = (now: number, told: readonly { readonly subject: string }[] = []) =>
    silentConditions([ray, { ...nameless, since: 15_000 }], now, true, told);

  test('nothing until it has lasted, then once a container', () => {
    expect(at(20_999)).toEqual([]);
    expect(at(21_000).map(({ subject }) => subject)).toEqual(['ray']);
    expect(at(40_000).map(({ name, subject, severity }) => [name, subject, severity])).toEqual([
      ['container-unanswered', 'ray', 'error'],
      ['container-unanswered', 'ffffffffffff', 'error'],
    ]);
  });

  test('what an earlier life of the agent has told stands while it lasts', () => {
    expect(at(2_000, [{ subject: 'ray' }]).map(({ subject }) => subject)).toEqual(['ray']);
  });

  test('the container, and what the restart of the engine costs on this host', () => {
    expect(silentReason(ray, true)).toMatch(/says nothing about the container ray.*systemctl restart docker.*go on meanwhile/);
    expect(silentReason(ray, false)).toMatch(/Without live-restore all containers of this host fall/);
  });
});
