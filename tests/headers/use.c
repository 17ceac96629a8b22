/* A program of somebody else: makes a key and a message, reads it again, and finds nobody at a socket. */
#include <infrafabric/infrafabric.h>
#include <stdio.h>

int main(void)
{
    struct ifab_error err = {0};
    struct ifab_client *client = NULL;
    struct ifab_response response;
    const struct ifab_client_options options = {.version = IFAB_CLIENT_VERSION, .endpoint = "unix:/nowhere/ifd.sock"};
    const struct ifab_request request = {.version = IFAB_CLIENT_VERSION, .method = "GET", .target = "/v1/fabric"};
    struct ifab_identity *key = NULL;
    struct ifab_message message = {0};
    const struct ifab_draft draft = {.version = IFAB_DRAFT_VERSION, .sender = "if://agent/Demo.A", .claim = "it links"};

    if (ifab_start(&err) != IFAB_OK || ifab_identity_new(&key, &err) != IFAB_OK || ifab_message_build(&draft, key, &message, &err) != IFAB_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    ifab_message_free(&message);
    ifab_identity_free(key);
    if (ifab_client_open(&options, &client, &err) != IFAB_OK || ifab_client_call(client, &request, &response, &err) != IFAB_NOT_FOUND)
        return fprintf(stderr, "somebody answers at /nowhere: %s\n", err.text), 1;
    ifab_client_close(client);
    return 0;
}
