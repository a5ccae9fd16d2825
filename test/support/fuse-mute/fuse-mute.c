/*
 * A FUSE program that can fall silent: `fuse-mute TARGET` mounts an empty directory and serves it; after SIGUSR1 (or from
 * the start with `fuse-mute --mute TARGET`) it goes on reading requests and never answers one. That is how a hung network
 * file system looks: the kernel knows that the request was taken, so SIGKILL does not free who waits for it. A stopped
 * daemon does not show this. SIGTERM unmounts and ends; SIGKILL leaves a mount that answers ENOTCONN.
 * Stays in the foreground; needs CAP_SYS_ADMIN and /dev/fuse. Built statically, so that it runs in any image.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile sig_atomic_t mute;
static const char *target;

static void on_mute(int signal) {
  (void)signal;
  mute = 1;
}

static void on_term(int signal) {
  (void)signal;
  umount2(target, MNT_DETACH);
  _exit(0);
}

static void reply(int fd, unsigned long long unique, int error, const void *body, size_t length) {
  struct fuse_out_header header = {.len = sizeof header + length, .error = -error, .unique = unique};
  struct iovec parts[2] = {{&header, sizeof header}, {(void *)body, length}};
  if (writev(fd, parts, length > 0 ? 2 : 1) < 0 && errno != ENOENT) perror("fuse-mute: reply");
}

static void serve(int fd, const struct fuse_in_header *in) {
  switch (in->opcode) {
    case FUSE_GETATTR: {
      struct fuse_attr_out out = {.attr = {.ino = 1, .mode = S_IFDIR | 0755, .nlink = 2}};
      return reply(fd, in->unique, 0, &out, sizeof out);
    }
    case FUSE_STATFS: {
      struct fuse_statfs_out out = {.st = {.bsize = 4096, .namelen = 255}};
      return reply(fd, in->unique, 0, &out, sizeof out);
    }
    case FUSE_OPENDIR: {
      struct fuse_open_out out = {0};
      return reply(fd, in->unique, 0, &out, sizeof out);
    }
    case FUSE_READDIR:
    case FUSE_ACCESS:
    case FUSE_FLUSH:
    case FUSE_RELEASEDIR:
      return reply(fd, in->unique, 0, NULL, 0);
    case FUSE_LOOKUP:
      return reply(fd, in->unique, ENOENT, NULL, 0);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return; /* these want no answer */
    default:
      return reply(fd, in->unique, ENOSYS, NULL, 0);
  }
}

int main(int argc, char **argv) {
  int flag = argc == 3 && strcmp(argv[1], "--mute") == 0;
  if (argc != 2 + flag) return fprintf(stderr, "usage: fuse-mute [--mute] TARGET\n"), 2;
  mute = flag;
  target = argv[1 + flag];
  signal(SIGUSR1, on_mute);
  signal(SIGTERM, on_term);
  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd < 0) return perror("fuse-mute: /dev/fuse"), 1;
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
  if (mount("fuse-mute", target, "fuse.mute", MS_NOSUID | MS_NODEV, options) < 0) return perror("fuse-mute: mount"), 1;
  size_t size = 1 << 18;
  char *buffer = malloc(size);
  for (;;) {
    ssize_t length = read(fd, buffer, size);
    if (length < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
    if (length < 0) return errno == ENODEV ? 0 : (perror("fuse-mute: read"), 1);
    const struct fuse_in_header *in = (void *)buffer;
    if (in->opcode == FUSE_INIT) { /* always answered: an uninitialised mount hangs in another way */
      const struct fuse_init_in *init = (void *)(in + 1);
      struct fuse_init_out out = {
          .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_readahead = init->max_readahead, .max_write = 4096};
      reply(fd, in->unique, 0, &out, sizeof out);
    } else if (!mute) {
      serve(fd, in);
    }
  }
}
