import { expect, test } from 'vitest';
import { stepText } from './next.ts';
import { Done } from './done.ts';

const file = '/etc/relight/agent.yaml';

test('who leaves is told what is so by then, and what to do next', () => {
  const done = new Done(file);
  expect(done.text()).toBe('relight-agent: left before the end. Nothing was changed on this host.');
  done.joins('https://c:7460');
  expect(done.text()).toContain('Nothing was changed on this host. https://c:7460 may have counted the join token as used');
  done.hasJoined();
  expect(done.text()).toContain(
    `This host has joined https://c:7460. ${file} was not written, nor the agent started. Go on: relight-agent setup`,
  );
  done.hasWritten(false);
  expect(done.text()).toContain(`joined https://c:7460. ${file} is written; no agent was started.`);
  done.starts();
  expect(done.text()).toContain(`${file} is written. Whether the agent has started says: systemctl status relight-agent`);
  const alone = new Done(file);
  alone.hasWritten(false);
  expect(alone.text()).toContain(`left before the end. ${file} is written`);
  const live = new Done(file);
  live.hasWritten(true);
  expect(live.text()).toMatch(/is written, and the agent takes it up by itself\. See what it makes of it: relight-agent status$/);
});

test('a command to copy is not broken at the edge of the terminal', () => {
  const command = 'relight-agent check --config /srv/a/long/way/to/the/agent.yaml';
  const step = `correct what check calls an error, and look again: ${command}`;
  expect(stepText(step, 80)).toBe(`  - correct what check calls an error, and look again:\n      ${command}`);
  expect(stepText(step, 200)).toBe(`  - ${step}`);
  expect(stepText(step, null)).toBe(`  - ${step}`);
});
