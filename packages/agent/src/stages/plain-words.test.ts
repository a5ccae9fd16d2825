import { RelightError } from '@relight/shared/errors';
import { expect, test } from 'vitest';
import { pullFailure, refusal } from '../engine/errors.ts';
import { inPlainWords } from './plain-words.ts';

const image = 'registry.example/team/train:v1';
const told = (kind: 'pull' | 'create' | 'start', failure: RelightError): RelightError => inPlainWords(kind, image, failure) as RelightError;

test.each([
  [
    'Get "https://registry.example/v2/": dial tcp: lookup registry.example on 127.0.0.53:53: no such host',
    'the name of its registry cannot be resolved',
  ],
  ['Get "http://localhost:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused', 'its registry refuses connections'],
  ['net/http: TLS handshake timeout', 'its registry does not answer'],
  ['received unexpected HTTP status: 503 Service Unavailable', 'its registry has a failure of its own'],
  ['toomanyrequests: You have reached your pull rate limit', 'its registry limits how often this host may pull'],
  ['manifest for busybox:nope not found: manifest unknown: manifest unknown', 'its registry has no such image or tag'],
  ['no matching manifest for linux/arm64/v8 in the manifest list entries', 'there is none for the processor of this host'],
  [
    "pull access denied for nope, repository does not exist or may require 'docker login': denied",
    'its registry knows no such image, or this host may not have it',
  ],
  ['Head "https://r/v2/a/b/manifests/latest": denied: Unauthenticated request. unauthorized', "its registry refuses this host's login"],
  ['failed to register layer: write /usr/lib/x: no space left on device', 'the disk of the engine is full'],
])('a pull: %s', (message, reason) => {
  const failure = pullFailure(message);
  const { message: plain, ...rest } = told('pull', failure);
  expect(plain).toBe(`the image ${image} could not be pulled: ${reason} (${message})`);
  expect(rest).toMatchObject({ code: failure.code, advice: failure.advice, recoverable: failure.recoverable, data: failure.data });
});

test('what cannot be told better follows as it is', () => {
  expect(told('pull', pullFailure('an odd thing')).message).toBe(`the image ${image} could not be pulled: an odd thing`);
  expect(told('create', refusal('create', 400, 'Minimum memory limit allowed is 6MB')).message).toBe(
    'the container could not be created: Minimum memory limit allowed is 6MB',
  );
  expect(told('start', refusal('start', 400, 'unable to find user nobodyhere')).message).toBe(
    'the container could not be started: unable to find user nobodyhere',
  );
});

test('a port that is taken: which, and by whom', () => {
  const said = 'Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use';
  const failure = (data: Record<string, unknown>): RelightError => new RelightError('port-taken', said, { data });
  expect(told('start', failure({ port: 8080, holder: 'nginx (pid 7)' })).message).toBe(
    `the container could not be started: port 8080 of this host is held by nginx (pid 7) (${said})`,
  );
  expect(told('start', failure({ port: 8080 })).message).toContain('port 8080 of this host is taken');
});

test('words of ours, an engine that is away and what is no failure of the engine stay as they are', () => {
  const ours = new RelightError('name-conflict', 'the name "a" is held by somebody');
  expect(inPlainWords('create', image, ours)).toBe(ours);
  const away = new RelightError('engine-unreachable', 'connect ECONNREFUSED');
  expect(inPlainWords('pull', image, away)).toBe(away);
  const defect = new TypeError('no');
  expect(inPlainWords('start', image, defect)).toBe(defect);
});
