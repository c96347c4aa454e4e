/* Loaded before libc into the service that benches/flow.rs measures: makes each sync slower by SLOW_SYNC_US microseconds and
   counts them in the eight bytes of the file SLOW_SYNC_COUNT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static _Atomic uint64_t *count;
static long delay_us;

__attribute__((constructor)) static void prepare(void) {
  const char *delay = getenv("SLOW_SYNC_US");
  const char *path = getenv("SLOW_SYNC_COUNT");
  delay_us = delay ? atol(delay) : 0;
  int file = path ? open(path, O_RDWR) : -1;
  void *memory = file < 0 ? MAP_FAILED : mmap(0, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) count = memory;
}

static void note(void) {
  if (count) ++*count;
  if (delay_us > 0) {
    struct timespec pause = {delay_us / 1000000, delay_us % 1000000 * 1000};
    nanosleep(&pause, 0);
  }
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  note();
  return real(file);
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  note();
  return real(file);
}
