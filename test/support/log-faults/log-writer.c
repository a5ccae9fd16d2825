/*
 * Writes lines that can be checked: `log-writer SOURCE LINES_PER_SECOND LEDGER_DIR [COUNT]` prints `SOURCE LIFE N PAYLOAD`, where the payload
 * follows from LIFE and N alone. LEDGER_DIR/SOURCE.LIFE holds two 64-bit counters that outlive any kill: what was begun, and what write(2)
 * has taken. A disk that is full is tried again until it takes the rest; of what was missed meanwhile, one second is made up for. Ends after
 * COUNT lines, or sleeps once LEDGER_DIR/stop exists; writes nothing for as long as LEDGER_DIR/pause does.
 * Built statically, so that it runs in any image.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
static uint32_t state;

static uint32_t next(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

/* Kept in step with payloadOf in log-ledger.ts. */
static size_t payload(char *out, uint32_t life, uint32_t n) {
  state = (life ^ (n * 0x9e3779b1u)) | 1u;
  next();
  uint32_t kind = next() & 1023;
  size_t length = kind == 0 ? 17000 + (next() & 16383) : kind < 64 ? 200 + (next() & 1023) : 20 + (next() & 127);
  for (size_t i = 0; i < length; i++) out[i] = alphabet[next() & 63];
  return length;
}

static void put(const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t taken = write(1, bytes, length);
    if (taken < 0) {
      if (errno == EPIPE) _exit(1);
      usleep(10000);
      continue;
    }
    bytes += taken;
    length -= (size_t)taken;
  }
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void nap(double seconds) {
  if (seconds <= 0) return;
  struct timespec pause = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
  nanosleep(&pause, NULL);
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  const char *source = argv[1];
  double per_second = atof(argv[2]);
  uint32_t count = argc > 4 ? (uint32_t)atol(argv[4]) : UINT32_MAX;
  uint32_t life;
  if (getrandom(&life, sizeof life, 0) != sizeof life) return 3;
  char name[512], stop[512], held[512];
  snprintf(name, sizeof name, "%s/%s.%08x", argv[3], source, life);
  snprintf(stop, sizeof stop, "%s/stop", argv[3]);
  snprintf(held, sizeof held, "%s/pause", argv[3]);
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
  if (fd < 0 || ftruncate(fd, 16) != 0) return 4;
  volatile uint64_t *ledger = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (ledger == MAP_FAILED) return 5;

  static char batch[8 * 40000];
  uint32_t n = 0;
  struct stat unused;
  double due = now();
  while (n < count && stat(stop, &unused) != 0) {
    if (stat(held, &unused) == 0) {
      nap(0.05);
      due = now();
      continue;
    }
    size_t length = 0;
    uint32_t lines = 1 + (life ^ n * 0x9e3779b1u) % 8;
    if (lines > count - n) lines = count - n;
    for (uint32_t i = 0; i < lines; i++) {
      n++;
      length += (size_t)sprintf(batch + length, "%s %08x %u ", source, life, n);
      length += payload(batch + length, life, n);
      batch[length++] = '\n';
    }
    ledger[0] = n;
    put(batch, length);
    ledger[1] = n;
    due += lines / per_second;
    if (due < now() - 1) due = now() - 1;
    nap(due - now());
  }
  while (n < count || stat(stop, &unused) != 0) {
    if (n >= count) return 0;
    nap(0.2);
    if (stat(stop, &unused) == 0) pause();
  }
  pause();
}
