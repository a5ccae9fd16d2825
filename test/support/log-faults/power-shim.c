/*
 * For a process of ours that is to lose its power: preloaded, it writes down for every change below POWER_ROOT how it is undone, and what
 * has been synced. The test kills the process and undoes what no fsync stands behind (power-loss.ts). Renames, removals and new names count
 * as synced only after an fsync of their directory, as POSIX has it. Names in POWER_EXCEPT (separated by ':') below the root are left alone, and so are
 * SQLite's *-shm, which are memory. POWER_CLOCK is a file with a 64-bit number of nanoseconds that is added to the wall clock.
 *
 * The journal, POWER_JOURNAL.000000 and so on, one for each life of the process, is a row of records in the byte order of the machine: `struct
 * record`, two paths, old bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, CREATE, RENAME, UNLINK, MKDIR, RMDIR, SYNC };

struct record {
  uint32_t magic, op;
  uint64_t sequence;
  /* Of the file, or of the directory that holds the name; of the second directory of a rename. SYNC: `offset` is the sequence that it covers. */
  uint64_t inode, other;
  uint64_t offset, size;
  uint32_t length;
  uint16_t path, path2;
};

static char root[PATH_MAX], except_list[1024], stash[PATH_MAX];
static size_t root_length;
static int journal = -1;
static uint64_t sequence;
static volatile int64_t *clock_offset;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { dev_t device; ino_t inode; } tracked[65536];

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void broken(const char *what) {
  char text[PATH_MAX + 64];
  int length = snprintf(text, sizeof text, "power-shim: %s: %s\n", what, strerror(errno));
  syscall(SYS_write, 2, text, length);
  abort();
}

__attribute__((constructor)) static void begin(void) {
  const char *from = getenv("POWER_ROOT"), *log = getenv("POWER_JOURNAL"), *stashed = getenv("POWER_STASH");
  const char *except = getenv("POWER_EXCEPT"), *clock_file = getenv("POWER_CLOCK");
  /* Programs that this one starts are not ours. */
  unsetenv("LD_PRELOAD");
  if (clock_file != NULL) {
    int fd = open(clock_file, O_RDONLY | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *clock_offset, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) broken(clock_file);
    clock_offset = page;
    close(fd);
  }
  if (from == NULL || log == NULL || stashed == NULL) return;
  root_length = (size_t)snprintf(root, sizeof root, "%s", from);
  snprintf(stash, sizeof stash, "%s", stashed);
  if (except != NULL) snprintf(except_list, sizeof except_list, ":%s:", except);
  char name[PATH_MAX];
  for (int life = 0; journal < 0; life++) {
    snprintf(name, sizeof name, "%.4000s.%06d", log, life);
    journal = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0 && errno != EEXIST) broken(name);
  }
}

/* Whether a path is ours to remember; `whole` gets it as an absolute one. */
static int ours(const char *path, char *whole) {
  if (journal < 0 || path == NULL) return 0;
  if (path[0] == '/') snprintf(whole, PATH_MAX, "%s", path);
  else {
    if (getcwd(whole, PATH_MAX) == NULL) return 0;
    size_t length = strlen(whole);
    snprintf(whole + length, PATH_MAX - length, "/%s", path);
  }
  if (strncmp(whole, root, root_length) != 0 || (whole[root_length] != '/' && whole[root_length] != 0)) return 0;
  size_t length = strlen(whole);
  if (length > 4 && strcmp(whole + length - 4, "-shm") == 0) return 0;
  if (whole[root_length] == 0) return 1;
  char first[300];
  const char *name = whole + root_length + 1;
  snprintf(first, sizeof first, ":%.*s:", (int)strcspn(name, "/"), name);
  return strstr(except_list, first) == NULL;
}

static uint64_t parent_of(const char *path) {
  char directory[PATH_MAX];
  struct stat found;
  snprintf(directory, sizeof directory, "%s", path);
  char *slash = strrchr(directory, '/');
  if (slash == NULL || slash == directory) return 0;
  *slash = 0;
  return stat(directory, &found) == 0 ? found.st_ino : 0;
}

static void note(struct record entry, const char *path, const char *path2, const void *old) {
  entry.magic = 0x52574f50;
  entry.sequence = ++sequence;
  entry.path = path == NULL ? 0 : strlen(path);
  entry.path2 = path2 == NULL ? 0 : strlen(path2);
  struct iovec parts[4] = {{&entry, sizeof entry}, {(void *)path, entry.path}, {(void *)path2, entry.path2}, {(void *)old, entry.length}};
  ssize_t wanted = (ssize_t)(sizeof entry + entry.path + entry.path2 + entry.length);
  if (syscall(SYS_writev, journal, parts, 4) != wanted) broken("journal");
}

static int is_tracked(int fd, struct stat *found) {
  if (journal < 0 || fd < 0 || fd >= 65536 || tracked[fd].inode == 0) return 0;
  return fstat(fd, found) == 0 && found->st_ino == tracked[fd].inode && found->st_dev == tracked[fd].device;
}

/* What [offset, offset + length) holds now, and how large the file is. */
static void note_bytes(int fd, const struct stat *found, uint64_t offset, uint64_t length) {
  uint64_t size = found->st_size, kept = offset < size ? (length < size - offset ? length : size - offset) : 0;
  char *old = NULL;
  if (kept > 0) {
    /* The descriptor may be open for writing alone. */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int reader = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    old = malloc(kept);
    if (reader < 0 || old == NULL || syscall(SYS_pread64, reader, old, kept, offset) != (ssize_t)kept) broken("old bytes");
    syscall(SYS_close, reader);
  }
  note((struct record){.op = WRITE, .inode = found->st_ino, .offset = offset, .size = size, .length = kept}, NULL, NULL, old);
  free(old);
}

#define GUARDED(fd, offset, length, call) \
  do { \
    struct stat found; \
    if (!is_tracked(fd, &found)) return call; \
    pthread_mutex_lock(&lock); \
    fstat(fd, &found); \
    note_bytes(fd, &found, offset, length); \
    __typeof__(call) result = call; \
    int error = errno; \
    pthread_mutex_unlock(&lock); \
    errno = error; \
    return result; \
  } while (0)

static uint64_t where(int fd, const struct stat *found) {
  return fcntl(fd, F_GETFL) & O_APPEND ? (uint64_t)found->st_size : (uint64_t)lseek(fd, 0, SEEK_CUR);
}

static uint64_t total(const struct iovec *parts, int count) {
  uint64_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}

ssize_t write(int fd, const void *bytes, size_t length) { GUARDED(fd, where(fd, &found), length, syscall(SYS_write, fd, bytes, length)); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { GUARDED(fd, at, length, syscall(SYS_pwrite64, fd, bytes, length, at)); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { GUARDED(fd, at, length, syscall(SYS_pwrite64, fd, bytes, length, at)); }
ssize_t writev(int fd, const struct iovec *parts, int count) { GUARDED(fd, where(fd, &found), total(parts, count), syscall(SYS_writev, fd, parts, count)); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { GUARDED(fd, at, total(parts, count), REAL(pwritev64)(fd, parts, count, at)); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { GUARDED(fd, at, total(parts, count), REAL(pwritev)(fd, parts, count, at)); }
int ftruncate64(int fd, off64_t size) { GUARDED(fd, size, INT64_MAX, (int)syscall(SYS_ftruncate, fd, size)); }
int ftruncate(int fd, off_t size) { GUARDED(fd, size, INT64_MAX, (int)syscall(SYS_ftruncate, fd, size)); }

static int synced(int fd, long number) {
  struct stat found;
  if (!is_tracked(fd, &found)) return syscall(number, fd);
  pthread_mutex_lock(&lock);
  uint64_t covers = sequence;
  pthread_mutex_unlock(&lock);
  int result = syscall(number, fd), error = errno;
  if (result == 0) {
    pthread_mutex_lock(&lock);
    note((struct record){.op = SYNC, .inode = found.st_ino, .offset = covers}, NULL, NULL, NULL);
    pthread_mutex_unlock(&lock);
  }
  errno = error;
  return result;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int opened(int directory, const char *path, int flags, mode_t mode) {
  char whole[PATH_MAX];
  if (journal < 0 || (directory != AT_FDCWD && path[0] != '/') || !ours(path, whole)) {
    int fd = syscall(SYS_openat, directory, path, flags, mode);
    if (fd >= 0 && fd < 65536) tracked[fd].inode = 0;
    return fd;
  }
  struct stat before, found;
  pthread_mutex_lock(&lock);
  int was_there = stat(whole, &before) == 0;
  if (was_there && (flags & O_TRUNC) && before.st_size > 0) {
    int fd = syscall(SYS_openat, AT_FDCWD, whole, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) note_bytes(fd, &before, 0, before.st_size);
    if (fd >= 0) syscall(SYS_close, fd);
  }
  int fd = syscall(SYS_openat, AT_FDCWD, whole, flags, mode), error = errno;
  if (fd >= 0 && fd < 65536 && fstat(fd, &found) == 0) {
    tracked[fd].device = found.st_dev;
    tracked[fd].inode = found.st_ino;
    if (!was_there) note((struct record){.op = CREATE, .inode = parent_of(whole)}, whole, NULL, NULL);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list list; \
    va_start(list, flags); \
    mode = va_arg(list, mode_t); \
    va_end(list); \
  }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE(flags) return opened(directory, path, flags, mode); }

/* A second name for what a rename or a removal would lose. */
static void keep(const char *path, char *kept) {
  struct stat found;
  kept[0] = 0;
  if (lstat(path, &found) != 0 || S_ISDIR(found.st_mode)) return;
  snprintf(kept, PATH_MAX, "%.3900s/%d.%llu", stash, (int)getpid(), (unsigned long long)sequence);
  if (link(path, kept) != 0) broken(path);
}

int rename(const char *from, const char *to) {
  char whole[PATH_MAX], whole2[PATH_MAX], kept[PATH_MAX];
  if (!ours(from, whole) || !ours(to, whole2)) return syscall(SYS_rename, from, to);
  pthread_mutex_lock(&lock);
  keep(whole2, kept);
  int result = syscall(SYS_rename, whole, whole2), error = errno;
  if (result == 0) {
    /* The bytes are the name under which the one that was replaced is kept. */
    note((struct record){.op = RENAME, .inode = parent_of(whole), .other = parent_of(whole2), .length = strlen(kept)}, whole, whole2, kept);
  } else if (kept[0] != 0) syscall(SYS_unlink, kept);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

static int removed(const char *path, long number, int op) {
  char whole[PATH_MAX], kept[PATH_MAX];
  if (!ours(path, whole)) return syscall(number, path);
  pthread_mutex_lock(&lock);
  uint64_t parent = parent_of(whole);
  keep(whole, kept);
  int result = syscall(number, whole), error = errno;
  if (result == 0) note((struct record){.op = op, .inode = parent, .length = strlen(kept)}, whole, NULL, kept);
  else if (kept[0] != 0) syscall(SYS_unlink, kept);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

int unlink(const char *path) { return removed(path, SYS_unlink, UNLINK); }
int rmdir(const char *path) { return removed(path, SYS_rmdir, RMDIR); }

/* std::filesystem, which Node removes with. */
int remove(const char *path) {
  struct stat found;
  if (lstat(path, &found) != 0) return -1;
  return S_ISDIR(found.st_mode) ? rmdir(path) : unlink(path);
}

int unlinkat(int directory, const char *path, int flags) {
  char at[64], whole[PATH_MAX];
  if (journal < 0) return syscall(SYS_unlinkat, directory, path, flags);
  if (directory == AT_FDCWD || path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
  else {
    snprintf(at, sizeof at, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(at, whole, sizeof whole - 1);
    if (length < 0) return -1;
    snprintf(whole + length, sizeof whole - length, "/%s", path);
  }
  return flags & AT_REMOVEDIR ? rmdir(whole) : unlink(whole);
}

int mkdir(const char *path, mode_t mode) {
  char whole[PATH_MAX];
  if (!ours(path, whole)) return syscall(SYS_mkdir, path, mode);
  pthread_mutex_lock(&lock);
  int result = syscall(SYS_mkdir, whole, mode), error = errno;
  if (result == 0) note((struct record){.op = MKDIR, .inode = parent_of(whole)}, whole, NULL, NULL);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

static int64_t ahead(void) { return clock_offset == NULL ? 0 : *clock_offset; }

int clock_gettime(clockid_t id, struct timespec *time) {
  static int (*next)(clockid_t, struct timespec *);
  if (next == NULL) next = REAL(clock_gettime);
  int result = next(id, time);
  int64_t offset = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE ? ahead() : 0;
  if (result != 0 || offset == 0) return result;
  int64_t whole = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + offset;
  time->tv_sec = whole / 1000000000;
  time->tv_nsec = whole % 1000000000;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}
