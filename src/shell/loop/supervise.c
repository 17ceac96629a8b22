/*
 * What the service manager is told (sd_notify(3), whose protocol is a datagram to $NOTIFY_SOCKET): ready, reloading, stopping, and that the loop still
 * turns (watchdog). Without the variable nothing is said; a manager that does not listen changes nothing.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "node.h"

void supervise_tell(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = path != NULL ? strlen(path) : 0;
    if (size == 0 || size >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, size);
    if (path[0] == '@') /* of the abstract namespace */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (path[0] == '/')));
    close(fd);
}

void supervise_reloading(void)
{
    struct timespec t;
    char text[64];
    clock_gettime(CLOCK_MONOTONIC, &t);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)t.tv_sec * 1000000ULL + (unsigned long long)t.tv_nsec / 1000);
    supervise_tell(text);
}

/* Half of $WATCHDOG_USEC, when it is meant for this process. 0: nobody watches. */
ifab_usec supervise_interval(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    errno = 0;
    long long value = strtoll(usec, &end, 10);
    return errno == 0 && end != usec && *end == '\0' && value >= 2000 ? (ifab_usec)value / 2 : 0;
}
