/** Other beginnings than the usual one, on a machine of their own: the tarball, and what stands in the way. Each says what to do next. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { version as ownVersion } from '@relight/shared/version';
import { Machine } from '../support/system/machine.ts';

const agent = 'relight-agent';
const collector = 'relight-collector';
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
const store = '/var/lib/relight-collector/relight.db';
const listening = 'listening on http://127.0.0.1:7460';

let machine: Machine;

beforeAll(async () => {
  const name = 'fresh-0';
  machine = await Machine.boot({ engineSocket: inject('engineSocket'), image: inject('machineImage'), name, packages: inject('packages') });
});
afterAll(() => machine?.[Symbol.asyncDispose]());

test('the collector from the plain tarball, and away again, as docs/install.md says', async () => {
  const tarball = `/packages/${collector}-${ownVersion}-linux-${architecture}.tar.gz`;
  await machine.shell(`tar -xzf ${tarball} --strip-components=1 -C /usr/local`);
  await machine.shell(
    `useradd --system --user-group --home-dir /var/lib/${collector} --shell /usr/sbin/nologin ${collector} &&
     install -D -m 644 /usr/local/share/doc/${collector}/examples/collector.yaml /etc/relight/collector.yaml &&
     systemctl enable --now --no-reload ${collector}`,
  );
  expect(await machine.unit(collector, 'ActiveState')).toBe('active');
  expect(await machine.unit(collector, 'UnitFileState')).toBe('enabled');
  expect(await machine.unit(collector, 'StatusText')).toBe(listening);
  expect(await machine.shell('relight --version && MANWIDTH=80 man -P cat relight')).toMatch(new RegExp(`^${ownVersion}\\n.*NAME`, 's'));
  // The node of it stays for the tests that follow.
  await machine.shell(`cp /usr/local/lib/${collector}/node /root/node`);
  await machine.shell(`systemctl disable --now --no-reload ${collector}`);
  await machine.shell(`tar -tzf ${tarball} | sed 's,^[^/]*,/usr/local,' | xargs -d '\\n' rm && rm -r /usr/local/lib/${collector}`);
  expect(await machine.shell(`find /usr/local -type f -path '*relight*'`)).toBe('');
  await machine.shell('rm -r /etc/relight /var/lib/relight-collector && systemctl daemon-reload');
});

test('its port is taken: installing succeeds, says by whom it is not started and what to do, and it starts by itself afterwards', async () => {
  const squat = "require('node:net').createServer().listen(7460, '127.0.0.1', () => require('node:fs').writeFileSync('/run/squats', ''))";
  await machine.shell(`systemd-run --unit=squatter /root/node -e "${squat}" && until [ -e /run/squats ]; do sleep 0.1; done`);
  const said = await machine.shell(`dpkg -i /packages/${collector}_*.deb 2>&1`);
  expect(said).toMatch(
    /its service does not start yet; systemd tries again every two seconds\. It says:\n(?: {2}.*\n)*? {2}.*127\.0\.0\.1:7460 is in use/,
  );
  expect(said).toContain("To see who has it: ss -ltnp 'sport = :7460'. Stop it, or set another listen: in the configuration.");
  expect(said).toContain(`systemctl status ${collector}`);
  await machine.shell('systemctl stop squatter');
  await machine.waitForUnit(collector, 'StatusText', listening);
});

test('a store that a newer version has changed: the older one refuses it, says how to go on, and leaves it as it is', async () => {
  await machine.shell(`dpkg -i /packages/later/${collector}_*.deb && systemctl stop ${collector}`);
  // As a newer version does it: a copy first, then a migration that this version does not know.
  const migrated = `const db = require('/usr/lib/${collector}/node_modules/better-sqlite3')('${store}'); db.pragma('wal_checkpoint(TRUNCATE)');
    const { next } = db.prepare('SELECT max(version) + 1 AS next FROM migrations').get();
    require('node:fs').copyFileSync('${store}', '${store}.before-' + next);
    db.prepare('INSERT INTO migrations (version, at) VALUES (?, 0)').run(next); db.close(); console.log(next);`;
  await machine.write('/root/migrate.cjs', migrated);
  const schema = Number(await machine.shell(`/root/node /root/migrate.cjs && chown ${collector}: ${store}*`));
  const before = await machine.shell(`sha256sum ${store}`);
  await machine.shell(`systemctl start --no-block ${collector}`);
  const said = await machine.shell(`dpkg -i /packages/${collector}_*.deb 2>&1`);
  expect(said).toContain(`downgrading ${collector}`);
  expect(said).toContain(`has schema ${schema}; this program knows only up to ${schema - 1}`);
  expect(said).toContain(
    `stop the collector, remove ${store}-wal and ${store}-shm, put ${store}.before-${schema} in the place of ${store}, start`,
  );
  await machine.shell(`systemctl stop ${collector}`);
  expect(await machine.shell(`sha256sum ${store}`)).toBe(before);
  // As it says.
  await machine.shell(`mv ${store}.before-${schema} ${store} && rm -f ${store}-wal ${store}-shm && systemctl start ${collector}`);
  expect(await machine.unit(collector, 'StatusText')).toBe(listening);
});

test('an agent whose configuration is wrong and whose engine is away says both, and goes on by itself when they are right', async () => {
  await machine.shell('systemctl stop docker.socket docker');
  await machine.write('/etc/relight/agent.yaml', 'version: 1\nworklods: []\n');
  const said = await machine.shell(`dpkg -i /packages/${agent}_*.deb 2>&1`);
  expect(said).toMatch(
    /its service does not start yet; systemd tries again every five seconds\. It says:\n[^]*agent\.yaml:2.*worklods[^]*workloads/,
  );
  await machine.write('/etc/relight/agent.yaml', 'version: 1\nworkloads: []\n');
  await machine.waitForUnit(agent, 'StatusText', /the engine does not answer/);
  const check = await machine.tries('relight-agent check --config /etc/relight/agent.yaml');
  expect(check.exitCode).toBe(1);
  expect(check.stdout).toMatch(/systemctl status docker/);
  await machine.shell('systemctl start docker');
  await machine.waitForUnit(agent, 'StatusText', 'supervising 0 workload(s)');
});
