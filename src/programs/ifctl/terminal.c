/*
 * A terminal that was changed is put back whatever ends the process: by a handler for every signal that ends one, of which only functions
 * are called that a handler may call. SIGKILL and a stop are not among them.
 */
#include "cli.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

static const int ending[] = {SIGINT,  SIGTERM, SIGHUP,    SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM,
                             SIGPROF, SIGXCPU, SIGXFSZ, SIGSEGV, SIGABRT, SIGBUS,  SIGFPE,  SIGILL,  SIGSYS};
static struct termios kept;
static const char *farewell;
static struct sigaction before[IFAB_COUNT(ending)];

static void put_back(int number)
{
    (void)!write(STDOUT_FILENO, farewell, strlen(farewell));
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &kept);
    (void)raise(number); /* blocked until here; then what it does by default */
}

void cli_terminal_keep(const struct termios *old, const char *last_words)
{
    struct sigaction action = {.sa_handler = put_back, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGTTOU); /* in the background tcsetattr would stop us instead */
    kept = *old;
    farewell = last_words;
    for (size_t i = 0; i < IFAB_COUNT(ending); i++) {
        (void)sigaction(ending[i], NULL, &before[i]);
        if (before[i].sa_handler == SIG_DFL) /* an ignored one does not end us; a checker's own stays */
            (void)sigaction(ending[i], &action, NULL);
    }
}

void cli_terminal_kept(void)
{
    for (size_t i = 0; i < IFAB_COUNT(ending); i++)
        (void)sigaction(ending[i], &before[i], NULL);
}
