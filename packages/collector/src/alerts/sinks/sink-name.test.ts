import { expect, test } from 'vitest';
import { formerSinkNames, shownSinkName, sinkName, sinkNames } from './sink-name.ts';

test.each([
  ['http://alerts.example', 'http://alerts.example'],
  ['http://alerts.example/hook', 'http://alerts.example/hook'],
  ['http://alerts.example:9095/hook/', 'http://alerts.example:9095/hook/'],
  ['https://alerts.example/hook?token=secret#part', 'https://alerts.example/hook'],
  ['https://somebody:p4ss%20word@alerts.example/hook', 'https://alerts.example/hook'],
  ['https://hooks.example/services/T0000/B0000/abcdefABCDEF0123456789ab', 'https://hooks.example/services/T0000/B0000/…'],
  ['https://api.example/bot123456:AAF-abcdefghijklmnop/sendMessage', 'https://api.example/…/sendMessage'],
])('%s is called %s', (url, name) => {
  expect(sinkName(url)).toBe(name);
});

test('sinks of one name are numbered, now as in versions before', () => {
  const addresses = ['https://a.example/h?token=1', 'https://b.example/h', 'https://a.example/h?token=2'];
  expect(sinkNames(addresses)).toEqual(['https://a.example/h', 'https://b.example/h', 'https://a.example/h #2']);
  expect(formerSinkNames(['https://u:p@a.example/h?token=1', 'https://u:p@a.example/h'])).toEqual([
    'https://u:p@a.example/h',
    'https://u:p@a.example/h #2',
  ]);
});

test.each([
  ['https://u:p4ss@a.example/hook', 'https://a.example/hook'],
  ['https://u:p4ss@a.example/hook #2', 'https://a.example/hook #2'],
  ['https://hooks.example/services/abcdefABCDEF0123456789ab', 'https://hooks.example/services/…'],
  // As a present name is.
  ['https://hooks.example/services/… #12', 'https://hooks.example/services/… #12'],
  ['http://alerts.example', 'http://alerts.example'],
])('the queue %s is shown as %s', (stored, shown) => {
  expect(shownSinkName(stored)).toBe(shown);
});
