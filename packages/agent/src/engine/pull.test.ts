import { expect, it } from 'vitest';
import { pullQuery } from './pull.ts';

it.each([
  ['busybox', 'busybox', 'latest'],
  ['busybox:1.36', 'busybox', '1.36'],
  ['localhost:5000/a/b', 'localhost:5000/a/b', 'latest'],
  ['localhost:5000/a/b:v1', 'localhost:5000/a/b', 'v1'],
  ['a/b@sha256:0123', 'a/b', 'sha256:0123'],
  ['localhost:5000/b:v1@sha256:0123', 'localhost:5000/b', 'sha256:0123'],
])('%s is pulled as %s, %s', (image, fromImage, tag) => {
  expect(pullQuery(image)).toEqual({ fromImage, tag });
});
