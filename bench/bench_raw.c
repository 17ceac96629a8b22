/* The disk's own price of a durable write: overwrites 4 KiB of a preallocated file and fdatasyncs. Usage: bench_raw FILE COUNT. Prints p50 and p99.
 */
#include "messages.h"

#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static uint8_t block[4096];
    enum { BLOCKS = 1024 };
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    double *took = calloc(count + 1, sizeof *took);
    bench_must(count > 0 && took != NULL, "usage: bench_raw FILE COUNT", NULL);
    int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bench_must(fd >= 0, argv[1], NULL);
    if (lseek(fd, 0, SEEK_END) < (off_t)sizeof block * BLOCKS)
        for (off_t i = 0; i < BLOCKS; i++)
            bench_must(pwrite(fd, block, sizeof block, i * (off_t)sizeof block) == (ssize_t)sizeof block, "write", NULL);
    bench_must(fsync(fd) == 0, "fsync", NULL);
    for (size_t i = 0; i < count; i++) {
        block[0] = (uint8_t)i;
        double from = bench_wall();
        bench_must(pwrite(fd, block, sizeof block, (off_t)(i % BLOCKS) * (off_t)sizeof block) == (ssize_t)sizeof block && fdatasync(fd) == 0, "write",
                   NULL);
        took[i] = bench_wall() - from;
    }
    printf("p50_us %.2f\n", bench_quantile(took, count, .5) * 1e6);
    printf("p99_us %.2f\n", bench_quantile(took, count, .99) * 1e6);
    return 0;
}
