import { expect, test } from 'vitest';
import { sinkName } from './sink-name.ts';

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
