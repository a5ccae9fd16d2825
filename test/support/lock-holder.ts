/** Holds a lock on a file as dpkg does (fcntl), or as flock(1) does, in a process of its own: released when that one ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** `struct flock` of 64-bit Linux: two shorts, padding, two longs, a pid. Perl is in every Debian, Node has no fcntl. */
const script = `use Fcntl qw(:DEFAULT :flock);
$0 = $ARGV[2];
sysopen(F, $ARGV[1], O_RDWR | O_CREAT) or die $!;
if ($ARGV[0] eq 'flock') { flock(F, LOCK_EX) or die $!; }
else { fcntl(F, F_SETLKW, pack('s s x4 q q i x4', $ARGV[0] eq 'read' ? F_RDLCK : F_WRLCK, 0, 0, 0, 0)) or die $!; }
$| = 1; print "held\\n"; sleep 600;`;

export interface HeldLock extends AsyncDisposable {
  readonly pid: number;
  release(): Promise<void>;
}

export async function holdLock(file: string, kind: 'write' | 'read' | 'flock' = 'write', name = 'apt-get'): Promise<HeldLock> {
  const child: ChildProcess = spawn('perl', ['-e', script, kind, file, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const held = once(child.stdout as NodeJS.ReadableStream, 'data');
  await Promise.race([
    held,
    ended.then(() => {
      throw new Error(`${file} could not be locked`);
    }),
  ]);
  const release = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  return { pid: child.pid ?? 0, release, [Symbol.asyncDispose]: release };
}
