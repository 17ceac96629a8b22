/*
 * Preloaded into a daemon: the wall clock is off by as many microseconds as IFAB_CLOCK_FILE says now; no other clock is, but with IFAB_CLOCK_ALL the one that
 * counts from the boot of the machine: then time has passed. For tests_tasks_proofs.py and tests_swarms.py.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *ts)
{
    char text[32] = {0};
    const char *path = getenv("IFAB_CLOCK_FILE");
    int result = (int)syscall(SYS_clock_gettime, id, ts), fd;
    bool shifted = id == CLOCK_REALTIME || (id == CLOCK_BOOTTIME && getenv("IFAB_CLOCK_ALL") != NULL);
    if (result != 0 || !shifted || path == NULL || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return result;
    if (read(fd, text, sizeof text - 1) > 0) {
        long long off = strtoll(text, NULL, 10), nsec = ts->tv_nsec + off % 1000000 * 1000;
        ts->tv_sec += off / 1000000 + (nsec >= 1000000000 ? 1 : nsec < 0 ? -1 : 0);
        ts->tv_nsec = (nsec + 1000000000) % 1000000000;
    }
    close(fd);
    return 0;
}
