/* Flags, environment, context, defaults → values. Flag > environment > context > default. */
#include "cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/id.h"
#include "config/config.h"
#include "crypto/crypto.h"

static int settle_format(struct cli *cli)
{
    static const char *const names[] = {
        [CLI_TABLE] = "table", [CLI_JSON] = "json", [CLI_NDJSON] = "ndjson", [CLI_YAML] = "yaml", [CLI_CSV] = "csv"};
    const char *given = cli_get(cli, "output");
    for (size_t i = 0; given != NULL && i < IFAB_COUNT(names); i++) {
        if (strcmp(given, names[i]) == 0) {
            cli->format = (enum cli_format)i;
            return 0;
        }
    }
    return given == NULL ? 0 : cli_usage(cli, "--output is table, json, ndjson, yaml or csv, not \"%s\"", given);
}

/* A UUID as it is, or 32 hex digits of a W3C trace-id; 16 bytes that are not all zero. */
static int settle_trace(struct cli *cli)
{
    const char *token = cli_get(cli, "trace");
    const char *alias = cli_get(cli, "trace-token") != NULL ? cli_get(cli, "trace-token") : cli_get(cli, "trace-id");
    uint8_t bytes16[16], random10[10];
    static const uint8_t zero16[16];
    cli->trace_asked = token != NULL || alias != NULL;
    if (token == NULL || *token == '\0')
        token = alias;
    if (!cli->trace_asked)
        return 0;
    if (token == NULL || *token == '\0') {
        ifab_random(random10, sizeof random10);
        ifab_uuid7_make(ifab_wall_usec(), random10, bytes16);
        ifab_uuid_format(bytes16, cli->trace);
        fprintf(stderr, "trace %s\n", cli->trace);
        return 0;
    }
    struct ifab_view text = ifab_view_str(token);
    if ((ifab_uuid_parse(text, bytes16) != IFAB_OK && ifab_hex_decode(text, bytes16, 16) != IFAB_OK) || memcmp(bytes16, zero16, 16) == 0)
        return cli_usage(cli, "a trace token is a UUID in lower case, not \"%s\"", token);
    ifab_uuid_format(bytes16, cli->trace);
    return 0;
}

static int settle_mode(struct cli *cli)
{
    const char *mode = cli_get(cli, "mode");
    bool falsify = strcmp(cli->command->name, "falsify") == 0; /* its --mode is a stage: the seeds' spelling */
    if (mode == NULL || strcmp(mode, "normal") == 0)
        return 0;
    if (falsify && (strcmp(mode, "pre-commit") == 0 || strcmp(mode, "pre-apply") == 0 || strcmp(mode, "post") == 0))
        return 0;
    if (strcmp(mode, "dry-run") != 0 && strcmp(mode, "falsify") != 0)
        return cli_usage(cli, "--mode is normal, dry-run or falsify, not \"%s\"", mode);
    if ((cli->command->flags & CMD_CHANGES) == 0 || (cli->command->flags & CMD_MODES) != 0) /* reading decides nothing: it is its own dry run */
        return 0;
    return cli_refuse(cli, IFAB_CODE_NOT_SUPPORTED, "--mode=%s for \"%s\" comes in a later version; nothing was done", mode,
                      cli->command->name);
}

static int settle_directory(struct cli *cli)
{
    const char *dir = cli_get(cli, "dir"), *environment = getenv("IFAB_DIR"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    bool good = true;
    if (dir != NULL)
        good = cli_path(cli->directory, sizeof cli->directory, "%s", dir);
    else if (environment != NULL && *environment != '\0')
        good = cli_path(cli->directory, sizeof cli->directory, "%s", environment);
    else if (cli->directory[0] != '\0') /* of the context */
        good = true;
    else if (data != NULL && data[0] == '/')
        good = cli_path(cli->directory, sizeof cli->directory, "%s/infrafabric", data);
    else
        good = cli_path(cli->directory, sizeof cli->directory, "%s/.local/share/infrafabric", home == NULL ? "" : home);
    return good ? 0 : cli_usage(cli, "directory name too long");
}

/* The socket of a directory: run.dir of its ifd.yaml; without one, DIR/run. */
static int endpoint_of_directory(struct cli *cli)
{
    char path[1100];
    bool good = cli_path(path, sizeof path, "%s/ifd.yaml", cli->directory);
    cli->of_directory = true;
    struct ifab_config *config = access(path, R_OK) == 0 ? ifab_calloc(1, sizeof *config) : NULL;
    if (config != NULL && good && ifab_config_load(path, config, NULL) == IFAB_OK)
        good = cli_path(cli->endpoint, sizeof cli->endpoint, "unix:%s/ifd.sock", config->run_dir);
    else
        good = cli_path(cli->endpoint, sizeof cli->endpoint, "unix:%s/run/ifd.sock", cli->directory);
    ifab_free(config);
    return good ? 0 : cli_usage(cli, "directory name too long");
}

static int settle_endpoint(struct cli *cli)
{
    const char *flag = cli_get(cli, "endpoint"), *environment = getenv("IFAB_ENDPOINT"), *dir = getenv("IFAB_DIR");
    if (flag != NULL && strncmp(flag, "unix:", 5) != 0 && strncmp(flag, "http://", 7) != 0 && strncmp(flag, "https://", 8) != 0)
        return cli_usage(cli, "--endpoint is unix:PATH, http://HOST:PORT or https://HOST:PORT, not \"%s\"", flag);
    if (flag != NULL)
        return cli_path(cli->endpoint, sizeof cli->endpoint, "%s", flag) ? 0 : cli_usage(cli, "--endpoint too long");
    if (cli_get(cli, "dir") != NULL)
        return endpoint_of_directory(cli);
    if (environment != NULL && *environment != '\0')
        return cli_path(cli->endpoint, sizeof cli->endpoint, "%s", environment) ? 0 : cli_usage(cli, "IFAB_ENDPOINT too long");
    if ((dir == NULL || *dir == '\0') && cli->endpoint[0] != '\0') /* of the context */
        return 0;
    return endpoint_of_directory(cli);
}

static int settle_as(struct cli *cli)
{
    const char *as = cli_get(cli, "as"), *environment = getenv("IFAB_AS"), *key = getenv("IFAB_KEY");
    struct ifab_view name, instance;
    char uri[160];
    /* a key that the context names belongs to the context's talent */
    const char *other = as != NULL ? as : environment != NULL && *environment != '\0' ? environment : NULL;
    if (other != NULL && (strcspn(other, "/") != strcspn(cli->as, "/") || strncmp(other, cli->as, strcspn(other, "/")) != 0))
        cli->key[0] = '\0';
    if (key != NULL && !cli_path(cli->key, sizeof cli->key, "%s", key))
        return cli_usage(cli, "IFAB_KEY is too long");
    /* a key that the environment names belongs to the environment's talent */
    if (as != NULL && environment != NULL && *environment != '\0' &&
        (strcspn(environment, "/") != strcspn(as, "/") || strncmp(environment, as, strcspn(as, "/")) != 0))
        cli->key[0] = '\0';
    if (as == NULL && environment != NULL && *environment != '\0')
        as = environment;
    if (as != NULL && !cli_path(cli->as, sizeof cli->as, "%s", as))
        return cli_usage(cli, "--as is too long");
    if (as != NULL && *as == '\0')
        return cli_usage(cli, "--as names nobody");
    cli->as_said = as != NULL;
    cli->as_named = cli->as[0] != '\0';
    if (!cli->as_named)
        memcpy(cli->as, "operator", 9);
    if (!cli_path(uri, sizeof uri, "if://agent/%s", cli->as) || ifab_sender_parse(ifab_view_str(uri), &name, &instance) != IFAB_OK)
        return cli_usage(cli, "--as is NAME or NAME/INSTANCE, not \"%s\"", cli->as);
    return 0;
}

static int settle_numbers(struct cli *cli)
{
    const char *retry = cli_get(cli, "retry"), *timeout = cli_get(cli, "timeout");
    cli->timeout_usec = 30 * IFAB_SECOND;
    if (timeout != NULL && (!cli_duration(timeout, &cli->timeout_usec) || cli->timeout_usec <= 0))
        return cli_usage(cli, "--timeout is a time such as 30s, not \"%s\"", timeout);
    if (retry == NULL)
        return 0;
    if (strlen(retry) == 0 || strlen(retry) > 4 || strspn(retry, "0123456789") != strlen(retry))
        return cli_usage(cli, "--retry is a number of times, not \"%s\"", retry);
    cli->retry = (int)strtol(retry, NULL, 10);
    return 0;
}

/* What goes into JSON must be UTF-8; names of files need not. */
static int check_texts(const struct cli *cli)
{
    static const char *const texts[] = {"why", "claim", "claim-id", "scope", "data", "evidence", "to", "hazard", "performative",
                                        "conversation", "topic", "name", "role", "owner", "ref", "capability"};
    for (size_t i = 0; i < cli->given_count; i++) {
        struct ifab_view name = ifab_view_of(cli->given[i].name, cli->given[i].name_size), text = ifab_view_str(cli->given[i].value);
        for (size_t k = 0; k < IFAB_COUNT(texts); k++) {
            if (!ifab_view_is(name, texts[k]) || ifab_utf8_valid(text))
                continue;
            const uint8_t *at = text.data, *end = text.data + text.size;
            uint32_t point;
            for (size_t size; at < end && (size = ifab_utf8_decode(at, end, &point)) > 0;)
                at += size;
            return cli_usage(cli, "--%s is not UTF-8 at byte %zu", texts[k], (size_t)(at - text.data));
        }
    }
    return 0;
}

static const char *of_environment(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && *value != '\0' ? value : NULL;
}

/*
 * What opens a fabric is meant for that fabric: a context's token, certificate and authorities go nowhere but where the context says. And the
 * key of a certificate is named beside it or nearer by; none: it stands in the certificate's file.
 */
static int settle_files(struct cli *cli, const char *endpoint, const char *directory)
{
    bool same = endpoint[0] != '\0' ? strcmp(cli->endpoint, endpoint) == 0 : cli->of_directory && strcmp(cli->directory, directory) == 0;
    const char *ca = cli_get(cli, "ca"), *certificate = cli_get(cli, "cert"), *key = cli_get(cli, "cert-key");
    if (!same)
        cli->token_file[0] = cli->ca_file[0] = cli->cert_file[0] = cli->cert_key_file[0] = '\0';
    ca = ca != NULL ? ca : of_environment("IFAB_CA");
    key = key != NULL || certificate != NULL ? key : of_environment("IFAB_CERT_KEY");
    certificate = certificate != NULL ? certificate : of_environment("IFAB_CERT");
    if (certificate != NULL)
        cli->cert_key_file[0] = '\0';
    bool good = (ca == NULL || cli_path(cli->ca_file, sizeof cli->ca_file, "%s", ca)) &&
                (certificate == NULL || cli_path(cli->cert_file, sizeof cli->cert_file, "%s", certificate)) &&
                (key == NULL || cli_path(cli->cert_key_file, sizeof cli->cert_key_file, "%s", key));
    return good ? 0 : cli_usage(cli, "the name of a file of --ca, --cert or --cert-key is too long");
}

int cli_settle(struct cli *cli)
{
    int code = settle_format(cli);
    if (code == 0)
        code = check_texts(cli);
    cli->quiet = cli_get(cli, "quiet") != NULL;
    if (code == 0)
        code = settle_numbers(cli);
    if (code == 0)
        code = settle_trace(cli);
    if (code == 0)
        code = settle_mode(cli);
    if (code == 0)
        code = cli_context_load(cli);
    char endpoint[sizeof cli->endpoint], directory[sizeof cli->directory]; /* of the context */
    memcpy(endpoint, cli->endpoint, sizeof endpoint);
    memcpy(directory, cli->directory, sizeof directory);
    if (code == 0)
        code = settle_directory(cli);
    if (code == 0)
        code = settle_endpoint(cli);
    if (code == 0)
        code = settle_files(cli, endpoint, directory);
    return code == 0 ? settle_as(cli) : code;
}

int cli_ask_why(struct cli *cli)
{
    const char *why = cli_get(cli, "why");
    bool bare = (cli->command->flags & CMD_BARE) != 0 && cli->word_count == 0, asks = (cli->command->flags & CMD_WHY) != 0 && !bare;
    if (why == NULL)
        why = getenv("IFAB_WHY");
    if (why != NULL) {
        if (!cli_path(cli->why, sizeof cli->why, "%s", why) || strlen(why) > 1024)
            return cli_usage(cli, "--why has at most 1024 bytes");
    } else if (asks && !cli_prompt("Why? (goes into the log) ", false, cli->why, sizeof cli->why)) {
        return cli_usage(cli, "%s changes something: say --why TEXT, or set IFAB_WHY", cli->command->name);
    }
    size_t i = 0;
    while (isspace((unsigned char)cli->why[i]))
        i++;
    if (asks && cli->why[i] == '\0')
        return cli_usage(cli, "an empty why is none");
    if (!ifab_utf8_valid(ifab_view_str(cli->why)))
        return cli_usage(cli, "--why is not UTF-8");
    return 0;
}

void cli_fini(struct cli *cli)
{
    cli_speak_end(cli);
    ifab_client_close(cli->client);
    ifab_identity_free(cli->identity);
}
