/* One request to the daemon with everything around it: token, trace, admin act, retries, and the words for each way it can fail. */
#include "answer.h"
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/id.h"
#include "base/map.h"
#include "crypto/crypto.h"

/* Flag, environment, context. NULL: none. */
static const char *file_of(const struct cli *cli, const char *flag, const char *variable, const char *context)
{
    const char *value = cli_get(cli, flag), *environment = getenv(variable);
    if (value != NULL)
        return value;
    return environment != NULL && *environment != '\0' ? environment : context[0] != '\0' ? context : NULL;
}

static const char *token_file(const struct cli *cli) { return file_of(cli, "token-file", "IFAB_TOKEN_FILE", cli->token_file); }
static bool is_stdin(const char *file) { return strcmp(file, "-") == 0 || strcmp(file, "@-") == 0; }

static int read_token(struct cli *cli, char *ret_token, size_t size)
{
    const char *file = token_file(cli);
    ret_token[0] = '\0';
    if (file == NULL)
        return 0;
    struct ifab_buf text;
    int code = is_stdin(file) ? 0 : cli_check_private(cli, file + (file[0] == '@'));
    if (code == 0)
        code = cli_read_input(cli, file, 4096, &text);
    if (code != 0)
        return code;
    while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
        text.size--;
    bool good = cli_path(ret_token, size, "%.*s", (int)text.size, text.size == 0 ? "" : (const char *)text.data) && text.size > 0;
    if (text.data != NULL)
        ifab_wipe(text.data, text.capacity);
    ifab_buf_fini(&text);
    return good ? 0 : cli_refuse(cli, IFAB_CODE_INVALID_TOKEN, "%s holds no token", file);
}

static const char *named(const char *file) { return file[0] == '\0' ? NULL : file; }

/* An authority's file that is not there: which one it should be, only the operator of the fabric can say. */
static const char *hint_of_ca(const struct cli *cli, ifab_status status)
{
    bool gone = status == IFAB_NOT_FOUND && cli->ca_file[0] != '\0' && strncmp(cli->err.text, cli->ca_file, strlen(cli->ca_file)) == 0;
    return gone ? "Name the certificate of the server's authority, as its operator gave it to you: --ca FILE, IFAB_CA or a context." : NULL;
}

int cli_open_client(struct cli *cli, bool silent)
{
    char token[4096];
    int code = cli->client != NULL ? 0 : read_token(cli, token, sizeof token);
    if (code == 0 && cli->client == NULL && cli->token[0] != '\0')
        memcpy(token, cli->token, sizeof cli->token);
    if (cli->client != NULL || code != 0)
        return code;
    const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION,
                                                .endpoint = cli->endpoint,
                                                .token = token[0] == '\0' ? NULL : token,
                                                .timeout_usec = cli->timeout_usec,
                                                .ca_file = named(cli->ca_file),
                                                .certificate_file = named(cli->cert_file),
                                                .key_file = named(cli->cert_key_file)};
    ifab_status status = ifab_client_open(&options, &cli->client, cli_clean_err(cli));
    cli->token_print = ifab_hash64(ifab_view_str(token), 0);
    ifab_wipe(token, sizeof token);
    if (status == IFAB_OK && cli->stop_fd > 0)
        ifab_client_set_stop(cli->client, cli->stop_fd);
    if (status != IFAB_OK && silent)
        return EXIT_SYSTEM;
    if (status == IFAB_NOT_FOUND || status == IFAB_DENIED || status == IFAB_INVALID || status == IFAB_UNSUPPORTED) /* a file of --ca, --cert or --cert-key, or the endpoint */
        return cli_stop(cli, status == IFAB_DENIED ? 10 : EXIT_USAGE, hint_of_ca(cli, status), "%s", cli->err.text);
    return status == IFAB_OK ? 0 : cli_fail(cli, status);
}

/* Is what --dir, IFAB_DIR, a context or the default names no fabric at all? */
static bool no_fabric(const struct cli *cli)
{
    char path[1100];
    return cli->of_directory && cli_path(path, sizeof path, "%s/ifd.yaml", cli->directory) && access(path, F_OK) != 0 &&
           (errno == ENOENT || errno == ENOTDIR);
}

int cli_need_fabric(const struct cli *cli)
{
    char hint[1200];
    if (!no_fabric(cli))
        return 0;
    bool there = access(cli->directory, F_OK) == 0;
    cli_path(hint, sizeof hint, "Make one with ifctl init %s, name another with --dir or IFAB_DIR, or one elsewhere with --endpoint.", cli->directory);
    return cli_stop(cli, EXIT_NO_ANSWER, hint, "no fabric at %s%s", cli->directory, there ? ": it holds no ifd.yaml" : ": it does not exist");
}

/* An authority that is not known here, or a server that speaks TLS to one who does not. */
static void hint_of_tls(const struct cli *cli)
{
    const char *text = cli->err.text, *end = strstr(text, "closed the connection");
    if (strstr(text, "tls: self-signed certificate") == text || strstr(text, "tls: unable to get local issuer certificate") == text)
        fputs("  hint: If it is the right server, give the certificate of its authority, got from its operator: --ca FILE or IFAB_CA.\n", stderr);
    else if (strstr(text, "tls: hostname mismatch") == text || strstr(text, "tls: IP address mismatch") == text)
        fputs("  hint: Ask by a name or address that the server's certificate has: --endpoint https://NAME:PORT.\n", stderr);
    else if (end != NULL && strncmp(cli->endpoint, "http://", 7) == 0)
        fputs("  hint: If it serves TLS, begin the endpoint with https://.\n", stderr);
}

int cli_no_answer(struct cli *cli, ifab_status status)
{
    int code = status == IFAB_NOT_FOUND ? cli_need_fabric(cli) : 0;
    if (code != 0)
        return code;
    if (status == IFAB_NOT_FOUND) {
        fputs("No fabric answers at ", stderr);
        cli_put_text(stderr, ifab_view_str(cli->endpoint));
        fputs(". Start it: ifd --config ", stderr);
        cli_put_text(stderr, ifab_view_str(cli->directory));
        fputs("/ifd.yaml, or name another with --endpoint.\n", stderr);
        return EXIT_NO_ANSWER;
    }
    if (status == IFAB_AGAIN || status == IFAB_IO || status == IFAB_DENIED || status == IFAB_CORRUPT) {
        cli_put_text(stderr, ifab_view_str(cli->err.text));
        fputc('\n', stderr);
        hint_of_tls(cli);
        return status == IFAB_DENIED ? 10 : EXIT_NO_ANSWER;
    }
    return cli_fail(cli, status);
}

/* 1, 2, 5, 10, 30 s with full jitter, and never less than the daemon asked for. */
static void wait_before_retry(struct cli *cli, int attempt, int64_t retry_after_ms)
{
    static const int64_t delays_ms[] = {1000, 2000, 5000, 10000, 30000};
    uint32_t random;
    ifab_random(&random, sizeof random);
    int64_t ms = (int64_t)random % (delays_ms[attempt < 4 ? attempt : 4] + 1);
    if (retry_after_ms > 0)
        ms = ms / 4 + (retry_after_ms > 60000 ? 60000 : retry_after_ms);
    cli_say(cli, "trying again in %lld ms", (long long)ms);
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void show_refusal(struct cli *cli, const struct cli_call *call, const struct ifab_response *response,
                         const struct ifab_answer_error *error)
{
    if (error->code == 0) {
        cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "HTTP %d without a reason", response->status);
    } else if (error->code == IFAB_CODE_OUT_OF_ORDER && error->has_last_seq && call->sender != NULL) {
        fprintf(stderr, "IF_ERR_104: seq %llu is not above %llu, the last one of ", (unsigned long long)call->seq,
                (unsigned long long)error->last_seq);
        cli_put_text(stderr, ifab_view_str(call->sender));
        fputs(". Two processes with one instance name?\n", stderr);
    } else {
        cli_show_answer_error(cli, error);
    }
}

int cli_refused(struct cli *cli, const struct ifab_response *response)
{
    struct ifab_answer_error error;
    const struct cli_call call = {.method = "GET"};
    ifab_answer_error_read(response, &error);
    show_refusal(cli, &call, response, &error);
    return error.exit_code;
}

int cli_sign_act(struct cli *cli, const struct cli_call *call, struct ifab_text *ret_header)
{
    char route[600];
    size_t size = strcspn(call->target, "?");
    int code = cli_origin(cli);
    if (code != 0)
        return code;
    if (!cli_path(route, sizeof route, "%s %.*s", call->method, (int)size, call->target))
        return cli_usage(cli, "route too long");
    ifab_status status = ifab_admin_act(cli->origin, route, call->body, cli->why[0] == '\0' ? cli->command->name : cli->why, cli->identity,
                                        ret_header, cli_clean_err(cli));
    return status == IFAB_OK ? 0 : cli_fail(cli, status);
}

/* One's own act behind the first one's. */
static int join_acts(struct cli *cli, const char *first, struct ifab_text *own, struct ifab_buf *both)
{
    ifab_buf_str(both, first);
    ifab_buf_char(both, ',');
    ifab_buf_put(both, own->data, own->size);
    ifab_buf_char(both, '\0');
    return ifab_buf_status(both) == IFAB_OK ? 0 : cli_fail(cli, ifab_buf_status(both));
}

void cli_traceparent(const char *trace, char *to, size_t size)
{
    uint8_t trace16[16], span8[8];
    struct ifab_buf line = IFAB_BUF_INIT(128);
    to[0] = '\0';
    if (trace[0] == '\0' || ifab_uuid_parse(ifab_view_str(trace), trace16) != IFAB_OK)
        return;
    ifab_random(span8, sizeof span8);
    span8[0] |= 1;
    ifab_buf_str(&line, "00-");
    ifab_buf_hex(&line, trace16, 16);
    ifab_buf_char(&line, '-');
    ifab_buf_hex(&line, span8, 8);
    ifab_buf_str(&line, "-01");
    cli_path(to, size, "%.*s", (int)line.size, (const char *)line.data);
    ifab_buf_fini(&line);
}

/* Every --ref, joined as the header wants them; NULL data: none. */
static void put_refs(const struct cli *cli, struct ifab_buf *refs)
{
    const char *ref;
    for (size_t i = 0; (ref = cli_get_nth(cli, "ref", i)) != NULL; i++) {
        ifab_buf_str(refs, i > 0 ? "," : "");
        ifab_buf_str(refs, ref);
    }
    if (refs->size > 0)
        ifab_buf_char(refs, '\0');
}

/* One request as it stands; *ret_again says that another try may help. */
static ifab_status attempt(struct cli *cli, const struct cli_call *call, const char *admin, struct ifab_response *ret,
                           struct ifab_answer_error *ret_error, bool *ret_again)
{
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf refs = IFAB_BUF_INIT(65536);
    char traceparent[64];
    cli_traceparent(cli->trace, traceparent, sizeof traceparent);
    put_refs(cli, &refs);
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = call->method, .target = call->target, .body = call->body,
                                         .idempotency_key = call->idempotency_key, .admin = admin,
                                         .traceparent = traceparent[0] == '\0' ? NULL : traceparent, .ref = (const char *)refs.data};
    memset(ret_error, 0, sizeof *ret_error);
    struct ifab_error *err = cli_clean_err(cli);
    ifab_status status = ifab_buf_status(&refs) != IFAB_OK ? IFAB_TOO_LARGE : ifab_client_call(cli->client, &request, ret, err);
    if (status != IFAB_OK) {
        bool same = strcmp(call->method, "GET") == 0 || call->idempotency_key != NULL; /* the same bytes again are safe */
        *ret_again = status == IFAB_AGAIN || status == IFAB_NOT_FOUND || (status == IFAB_IO && same);
        return status;
    }
    ifab_answer_error_read(ret, ret_error);
    *ret_again = ret_error->retryable;
    if (ret_error->code == 0 && answer_about_another(call->message_id, call->digest32, ret->body)) { /* lost: the same bytes again are safe */
        *ret_again = call->idempotency_key != NULL;
        return ifab_fail(err, IFAB_IO, "the fabric's answer is about another message than the one that was sent");
    }
    return IFAB_OK;
}

/* The token was refused: does its file hold another one by now? A process that lives longer than its token goes on with that. Only a regular
 * file can be read twice. One of speak.c is asked for anew. */
static bool renew_token(struct cli *cli, const struct cli_call *call)
{
    const char *file = token_file(cli);
    struct stat st;
    char token[4096];
    if (cli->token[0] != '\0')
        return !call->last && cli_speak_again(cli, call->silent) == 0;
    if (file == NULL || is_stdin(file))
        return false;
    if (stat(file + (file[0] == '@'), &st) != 0 || !S_ISREG(st.st_mode) || read_token(cli, token, sizeof token) != 0)
        return false;
    bool other = ifab_hash64(ifab_view_str(token), 0) != cli->token_print;
    ifab_wipe(token, sizeof token);
    if (!other)
        return false;
    ifab_client_close(cli->client);
    cli->client = NULL;
    return true;
}

int cli_call(struct cli *cli, const struct cli_call *call, struct ifab_response *ret_response)
{
    struct ifab_answer_error error;
    struct ifab_text admin = {NULL, 0};
    IFAB_CLEANUP(ifab_buf_fini) struct ifab_buf both = IFAB_BUF_INIT(32768);
    int code = cli_open_client(cli, call->silent);
    if (code == 0 && call->act == ACT_ALWAYS)
        code = cli_identity(cli);
    else if (code == 0 && call->act == ACT_IF_NEEDED)
        (void)cli_identity_quietly(cli); /* a key that needs no asking signs at once */
    if (code == 0 && call->act != ACT_NONE && cli->identity != NULL)
        code = cli_sign_act(cli, call, &admin);
    if (code == 0 && call->first_act != NULL)
        code = join_acts(cli, call->first_act, &admin, &both);
    bool renewed = false;
    for (int n = 0; code == 0; n++) {
        bool again;
        ifab_status status = attempt(cli, call, both.size > 0 ? (const char *)both.data : admin.data, ret_response, &error, &again);
        bool answer = status == IFAB_OK && ret_response->status >= 200 && ret_response->status < 300;
        if (answer || (status == IFAB_OK && call->show_403 && ret_response->status == 403 && error.code == 0))
            break;
        if (status == IFAB_OK && error.code == IFAB_CODE_PERMISSION_DENIED && call->act == ACT_IF_NEEDED && admin.data == NULL &&
            cli_terminal()) {
            cli_say(cli, "this needs an admin act");
            if ((code = cli_identity(cli)) == 0 && (code = cli_sign_act(cli, call, &admin)) == 0)
                continue;
            break;
        }
        if (status == IFAB_OK && error.code == IFAB_CODE_INVALID_TOKEN && !renewed && renew_token(cli, call)) { /* nothing was done */
            renewed = true;
            memset(ret_response, 0, sizeof *ret_response);
            code = cli_open_client(cli, call->silent);
            continue;
        }
        if (again && n < cli->retry) {
            wait_before_retry(cli, n, status == IFAB_OK ? error.retry_after_ms : -1);
            continue;
        }
        cli->unknown = status == IFAB_OK ? ret_response->status >= 500 : status != IFAB_NOT_FOUND && status != IFAB_DENIED;
        cli->passes = again;
        if (status != IFAB_OK) {
            code = call->silent ? EXIT_NO_ANSWER : cli_no_answer(cli, status);
            if (!call->silent && cli->unknown && call->message_id != NULL && call->message_id[0] != '\0')
                cli_say(cli, "whether %s was recorded is unknown. Look before you send it again (IF_ERR_404: it was not): ifctl decision show %s",
                        call->message_id, call->message_id);
        } else {
            if (!call->silent)
                show_refusal(cli, call, ret_response, &error);
            code = error.exit_code;
        }
    }
    ifab_text_free(&admin);
    return code;
}

static int get_json(struct cli *cli, const char *target, bool silent, struct ifab_arena *arena, const struct ifab_json **ret_tree)
{
    struct ifab_response response;
    struct ifab_view copy;
    const struct cli_call call = {.method = "GET", .target = target, .silent = silent};
    const struct ifab_json_limits limits = {.max_size = IFAB_CLIENT_RESPONSE_MAX};
    int code = cli_call(cli, &call, &response);
    if (code != 0)
        return code;
    bool copied = ifab_arena_copy(arena, response.body, &copy) == IFAB_OK; /* the tree borrows from it; the client's buffer is used again */
    if (copied && ifab_json_read(copy, &limits, arena, ret_tree, cli_clean_err(cli)) == IFAB_OK)
        return 0;
    if (silent)
        return EXIT_SYSTEM;
    return copied ? cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "the answer to GET %s is not JSON: %s", target, cli->err.text)
                  : cli_fail(cli, IFAB_NOMEM);
}

int cli_get_json(struct cli *cli, const char *target, struct ifab_arena *arena, const struct ifab_json **ret_tree)
{
    return get_json(cli, target, false, arena, ret_tree);
}

int cli_get_quietly(struct cli *cli, const char *target, struct ifab_arena *arena, const struct ifab_json **ret_tree)
{
    return get_json(cli, target, true, arena, ret_tree);
}

int cli_get_print(struct cli *cli, const char *target, const char *columns)
{
    struct ifab_response response;
    const struct cli_call call = {.method = "GET", .target = target};
    int code = cli_call(cli, &call, &response);
    return code == 0 ? cli_print(cli, response.body, columns) : code;
}

int cli_get_target(struct cli *cli, struct ifab_buf *target, const char *columns)
{
    ifab_buf_char(target, '\0');
    int code = ifab_buf_status(target) == IFAB_OK ? cli_get_print(cli, (const char *)target->data, columns) : cli_fail(cli, IFAB_TOO_LARGE);
    ifab_buf_fini(target);
    return code;
}

int cli_get_list(struct cli *cli, const char *route, const char *filter, const char *columns)
{
    struct ifab_buf target = IFAB_BUF_INIT(4096);
    ifab_buf_str(&target, route);
    if (filter != NULL)
        cli_put_query(&target, filter, cli_get(cli, filter));
    cli_put_query(&target, "limit", cli_get(cli, "limit"));
    cli_put_query(&target, "cursor", cli_get(cli, "cursor"));
    return cli_get_target(cli, &target, columns);
}

int cli_origin(struct cli *cli)
{
    struct ifab_arena arena;
    const struct ifab_json *tree;
    struct ifab_view origin;
    if (cli->origin[0] != '\0')
        return 0;
    ifab_arena_init(&arena, 4 << 20);
    int code = cli_get_json(cli, "/v1/fabric", &arena, &tree);
    if (code == 0 && (!ifab_json_string(ifab_json_get(tree, "origin"), &origin) ||
                      !cli_path(cli->origin, sizeof cli->origin, IFAB_FMT, IFAB_ARG(origin))))
        code = cli_refuse(cli, IFAB_CODE_SYSTEM_ERROR, "GET /v1/fabric names no origin");
    ifab_arena_fini(&arena);
    return code;
}

/* also: stands as it is, beside what RFC 3986 calls unreserved */
static void put_encoded(struct ifab_buf *target, const char *value, unsigned char also)
{
    static const char hex[] = "0123456789ABCDEF";
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~' || c == also;
        ifab_buf_char(target, plain ? (char)c : '%');
        if (!plain) {
            ifab_buf_char(target, hex[c >> 4]);
            ifab_buf_char(target, hex[c & 15U]);
        }
    }
}

void cli_put_query(struct ifab_buf *target, const char *name, const char *value)
{
    if (value == NULL)
        return;
    bool first = target->size == 0 || memchr(target->data, '?', target->size) == NULL;
    ifab_buf_char(target, first ? '?' : '&');
    ifab_buf_str(target, name);
    ifab_buf_char(target, '=');
    put_encoded(target, value, '-');
}

void cli_put_segment(struct ifab_buf *target, const char *value)
{
    ifab_buf_char(target, '/');
    put_encoded(target, value, ':'); /* a digest as it is written: the daemon decodes no path */
}
