/* Sends one signed message and verifies its receipt: IFAB_ENDPOINT, IFAB_AS, IFAB_KEY, [IFAB_TO]. Exit 0: shared and verified. */
#include <infrafabric/infrafabric.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ifab_error err;

static int fail(const char *what, ifab_status status)
{
    return fprintf(stderr, "%s: %s: %s\n", what, ifab_status_describe(status), err.text), 1;
}

static ifab_status load_key(const char *path, struct ifab_identity **ret_identity)
{
    uint8_t pem[4096];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return IFAB_NOT_FOUND;
    size_t size = fread(pem, 1, sizeof pem, file);
    fclose(file);
    return ifab_identity_read((struct ifab_view){pem, size}, (struct ifab_view){NULL, 0}, ret_identity, &err);
}

/* The same bytes under their Idempotency-Key: a lost answer may be asked for again, and the message is accepted once. */
static ifab_status post(struct ifab_client *client, const struct ifab_message *message, struct ifab_response *ret_response)
{
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "POST", .target = "/v1/messages?proof=1",
                                         .idempotency_key = message->id,
                                         .body = {(const uint8_t *)message->bytes.data, message->bytes.size}};
    ifab_status status = IFAB_IO;
    for (int attempt = 0; attempt < 5 && (status == IFAB_IO || status == IFAB_AGAIN); attempt++)
        status = ifab_client_call(client, &request, ret_response, &err);
    return status;
}

static int verified(struct ifab_response response, const char *vkey)
{
    struct ifab_verify_report report;
    const struct ifab_verify_options options = {.vkey = {(const uint8_t *)vkey, strlen(vkey)}};
    if (ifab_verify_receipt_bytes(response.body, &options, &report, &err) != IFAB_OK)
        return fail("verify", err.status);
    printf("entry verified: %s; %s\n", report.integrity, report.trust);
    return report.verdict == IFAB_VERIFY_VERIFIED ? 0 : 1;
}

int main(void)
{
    const char *endpoint = getenv("IFAB_ENDPOINT"), *as = getenv("IFAB_AS"), *key = getenv("IFAB_KEY"), *to = getenv("IFAB_TO");
    const char *vkey = getenv("IFAB_VKEY"), *receivers[] = {to == NULL ? "Demo.B" : to};
    struct ifab_identity *identity = NULL;
    struct ifab_client *client = NULL;
    struct ifab_message message = {0};
    struct ifab_response response;
    char sender[160];
    ifab_status status = ifab_start(&err);
    if (endpoint == NULL || as == NULL || key == NULL)
        return fputs("set IFAB_ENDPOINT, IFAB_AS, IFAB_KEY\n", stderr), 2;
    snprintf(sender, sizeof sender, "if://agent/%s/c", as);
    const struct ifab_draft draft = {.version = IFAB_DRAFT_VERSION, .sender = sender, .receivers = receivers,
                                     .receiver_count = 1, .claim = "C says: the build is green", .has_confidence = true, .confidence = 0.9,
                                     .scope = {(const uint8_t *)"{\"branch\":\"main\"}", 17}};
    if (status == IFAB_OK)
        status = load_key(key, &identity);
    if (status == IFAB_OK)
        status = ifab_message_build(&draft, identity, &message, &err);
    if (status == IFAB_OK)
        status = ifab_client_open(&(struct ifab_client_options){.version = IFAB_CLIENT_VERSION, .endpoint = endpoint}, &client, &err);
    if (status == IFAB_OK)
        status = post(client, &message, &response);
    int code = status == IFAB_OK ? 0 : fail("send", status);
    if (status == IFAB_OK)
        printf("%.*s\n", response.status == 200 && vkey != NULL ? 0 : (int)response.body.size, (const char *)response.body.data);
    if (status == IFAB_OK && response.status == 200 && vkey != NULL)
        code = verified(response, vkey);
    ifab_client_close(client);
    ifab_message_free(&message);
    ifab_identity_free(identity);
    return status == IFAB_OK && response.status != 200 ? 1 : code;
}
