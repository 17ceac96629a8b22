/* Bytes from a peer through the response parser, whole and in pieces: same verdict, bounded memory, and the refusal reader on what came. */
#include "client/answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ifab_status take_line(void *user, struct ifab_view line)
{
    size_t *count = user;
    *count += 1 + line.size;
    return IFAB_OK;
}

static bool feed(const uint8_t *data, size_t size, size_t piece, bool stream, int *ret_status, size_t *ret_size)
{
    struct ifab_answer answer = {0};
    size_t lines = 0;
    ifab_status status = IFAB_OK;
    ifab_answer__begin(&answer, stream ? take_line : NULL, &lines);
    for (size_t at = 0; at < size && status == IFAB_OK; at += piece)
        status = ifab_answer__feed(&answer, ifab_view_of(data + at, size - at < piece ? size - at : piece), false, NULL);
    if (status == IFAB_OK)
        status = ifab_answer__feed(&answer, ifab_view_of(data, 0), true, NULL);
    *ret_status = answer.parser.status_code;
    *ret_size = answer.body.size + lines;
    if (status == IFAB_OK) {
        struct ifab_response response = {.status = *ret_status, .body = ifab_buf_as_view(&answer.body)};
        struct ifab_answer_error error;
        ifab_answer_error_read(&response, &error);
        if (error.code < 0 || error.code > 999 || memchr(error.message, 0, sizeof error.message) == NULL)
            abort();
    }
    ifab_answer__fini(&answer);
    return status == IFAB_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int stream = 0; stream < 2; stream++) {
        int whole_status, piece_status;
        size_t whole_size, piece_size;
        bool whole = feed(data, size, size + 1, stream != 0, &whole_status, &whole_size);
        bool pieces = feed(data, size, 1, stream != 0, &piece_status, &piece_size);
        if (whole != pieces || (whole && (whole_status != piece_status || whole_size != piece_size)))
            abort();
    }
    return 0;
}
