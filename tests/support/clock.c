/* The wall clock of a server under test. Preloaded, it adds the milliseconds that stand in the file TEST_CLOCK (8 bytes)
   to what CLOCK_REALTIME says; the monotonic clock is left alone, as it is when a clock is set. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset_ms;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) offset_ms = map;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (failed || clock != CLOCK_REALTIME || !offset_ms) return failed;
    int64_t ns = time->tv_nsec + (*offset_ms % 1000) * 1000000;
    time->tv_sec += *offset_ms / 1000;
    if (ns < 0) { ns += 1000000000; time->tv_sec -= 1; }
    if (ns >= 1000000000) { ns -= 1000000000; time->tv_sec += 1; }
    time->tv_nsec = ns;
    return 0;
}
