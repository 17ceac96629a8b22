/* Time from spawn to exit of two programs in turn. Usage: bench_spawn COUNT EMPTY PROGRAM [ARGUMENT]. */
#include "messages.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static double run(const char *program, char *argument)
{
    char name[] = "x", *argv[] = {name, argument, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    double from = bench_wall();
    bench_must(posix_spawn(&pid, program, &actions, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid && status == 0, program, NULL);
    double took = bench_wall() - from;
    posix_spawn_file_actions_destroy(&actions);
    return took;
}

int main(int argc, char **argv)
{
    enum { MOST = 2000 };
    static double empty[MOST], program[MOST];
    size_t count = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
    bench_must(count > 0 && count <= MOST, "usage: bench_spawn COUNT EMPTY PROGRAM [ARGUMENT]", NULL);
    for (size_t i = 0; i < count; i++) {
        empty[i] = run(argv[2], NULL);
        program[i] = run(argv[3], argc > 4 ? argv[4] : NULL);
    }
    printf("empty_us %.1f\n", bench_quantile(empty, count, .5) * 1e6);
    printf("program_us %.1f\n", bench_quantile(program, count, .5) * 1e6);
    return 0;
}
