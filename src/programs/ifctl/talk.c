/* stderr: errors in one form, questions on the terminal, and talk that --quiet silences. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

static bool colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDERR_FILENO) && (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

static void put_error(int code, const char *text)
{
    fprintf(stderr, colour() ? "\033[31mIF_ERR_%03d\033[0m: " : "IF_ERR_%03d: ", code);
    cli_put_text(stderr, ifab_view_str(text));
    fputc('\n', stderr);
}

struct ifab_error *cli_clean_err(struct cli *cli)
{
    cli->err = (struct ifab_error){.status = IFAB_OK};
    return &cli->err;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("ifctl: ", stderr);
    cli_put_text(stderr, ifab_view_str(text));
    fputc('\n', stderr);
    if (cli->command != NULL)
        cli_usage_line(cli->command, stderr);
    return EXIT_USAGE;
}

int cli_stop(const struct cli *cli, int exit_code, const char *hint, const char *format, ...)
{
    (void)cli;
    char text[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fputs("ifctl: ", stderr);
    cli_put_text(stderr, ifab_view_str(text));
    fputc('\n', stderr);
    if (hint != NULL) {
        fputs("  hint: ", stderr);
        cli_put_text(stderr, ifab_view_str(hint));
        fputc('\n', stderr);
    }
    return exit_code;
}

/* A checker does not send to itself. */
static const char *hint_of(const struct cli *cli, const struct ifab_code_info *info)
{
    const char *name = cli->command == NULL ? "" : cli->command->name;
    bool checks = strncmp(name, "config ", 7) == 0 || strncmp(name, "guard ", 6) == 0;
    return checks && info->code == IFAB_CODE_INVALID_CONFIG ? "Correct what the message names, then check again." : info->hint;
}

int cli_refuse(const struct cli *cli, int code, const char *format, ...)
{
    char text[600];
    const struct ifab_code_info *info = ifab_code_info((enum ifab_code)code);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_error(code, text);
    if (info != NULL && info->hint[0] != '\0')
        fprintf(stderr, "  hint: %s\n", hint_of(cli, info));
    return info == NULL ? EXIT_SYSTEM : info->exit;
}

/* A failure on this side. The IF_ERR_ number is the nearest of the table; what the library said already begins with one stays. */
int cli_fail(const struct cli *cli, ifab_status status)
{
    const char *text = cli->err.text[0] == '\0' ? ifab_status_describe(status) : cli->err.text;
    int code = IFAB_CODE_SYSTEM_ERROR;
    if (strncmp(text, "IF_ERR_", 7) == 0 && strlen(text) > 12) {
        code = (int)strtol(text + 7, NULL, 10);
        text += 12;
    } else if (status == IFAB_INVALID) {
        code = IFAB_CODE_INVALID_PARAMS;
    } else if (status == IFAB_TOO_LARGE) {
        code = IFAB_CODE_TOO_LARGE;
    } else if (status == IFAB_NOT_FOUND) {
        code = IFAB_CODE_NOT_FOUND;
    } else if (status == IFAB_DENIED) {
        code = IFAB_CODE_PERMISSION_DENIED;
    } else if (status == IFAB_CONFLICT) {
        code = IFAB_CODE_CONFLICT;
    } else if (status == IFAB_UNSUPPORTED) {
        code = IFAB_CODE_NOT_SUPPORTED;
    } else if (status == IFAB_CORRUPT) {
        code = IFAB_CODE_LOG_CORRUPT;
    }
    const struct ifab_code_info *info = ifab_code_info((enum ifab_code)code);
    put_error(code, text);
    return info == NULL ? EXIT_SYSTEM : info->exit;
}

void cli_show_answer_error(const struct cli *cli, const struct ifab_answer_error *error)
{
    (void)cli;
    char text[768];
    size_t size = strlen(error->field);
    bool said = strncmp(error->message, error->field, size) == 0 && (error->message[size] == ' ' || error->message[size] == ':');
    bool named = size > 0 && !said; /* the field is named once */
    char at[40] = "";
    if (error->offset >= 0)
        snprintf(at, sizeof at, " (byte %lld)", (long long)error->offset);
    snprintf(text, sizeof text, "%s%s%s%s%s", named ? "field " : "", named ? error->field : "", named ? ": " : "", error->message, at);
    put_error(error->code, text);
    if (error->hint[0] != '\0') {
        fputs("  hint: ", stderr);
        cli_put_text(stderr, ifab_view_str(error->hint));
        fputc('\n', stderr);
    }
    if (error->retryable && error->retry_after_ms > 0)
        fprintf(stderr, "  retry after %lld ms: --retry N waits and tries again\n", (long long)error->retry_after_ms);
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    char text[1200];
    va_list args;
    if (cli->quiet)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_put_text(stderr, ifab_view_str(text));
    fputc('\n', stderr);
}

void cli_keep_unread(void) { (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

void cli_keep_private(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    cli_keep_unread();
}

bool cli_terminal(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool cli_prompt(const char *question, bool secret, char *ret_text, size_t size)
{
    struct termios old, quiet;
    if (!cli_terminal())
        return false;
    bool hide = secret && tcgetattr(STDIN_FILENO, &old) == 0;
    if (secret && !hide)
        return false; /* never with echo */
    if (hide) {
        quiet = old;
        quiet.c_lflag &= ~((tcflag_t)ECHO | (tcflag_t)ISIG); /* Ctrl-C comes as a byte: echo is always put back */
        cli_terminal_keep(&old, "");
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0) {
            cli_terminal_kept();
            return false;
        }
    }
    cli_put_text(stderr, ifab_view_str(question)); /* only now: who answers at once is not echoed */
    fflush(stderr);
    size_t used = 0;
    bool whole = false;
    for (char c; used < size && read(STDIN_FILENO, &c, 1) == 1;) { /* byte by byte: no copy of a secret in a stdio buffer */
        if (c == '\n') {
            whole = true;
            break;
        }
        if (hide && c == 3)
            break;
        ret_text[used++] = c;
    }
    if (hide) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        cli_terminal_kept();
        fputc('\n', stderr);
    }
    if (!whole || used >= size)
        return false;
    ret_text[used] = '\0';
    return true;
}
