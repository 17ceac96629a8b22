/* What an answer looks like on the wire: status line, the server's four headers, the caller's, the body or its chunks. */
#include <time.h>

#include "internal.h"

static const struct {
    int status;
    const char *text;
} reasons[] = {
    {100, "Continue"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"}, {304, "Not Modified"}, {400, "Bad Request"},
    {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
    {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {411, "Length Required"}, {412, "Precondition Failed"},
    {413, "Content Too Large"}, {415, "Unsupported Media Type"}, {417, "Expectation Failed"}, {421, "Misdirected Request"},
    {422, "Unprocessable Content"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
    {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "Status";
}

/* RFC 9110 5.6.7, IMF-fixdate: made once a second. strftime would follow the locale. */
static const char *date(struct ifab_http_server *server)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct timespec now;
    struct tm tm;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0 || server->date_second == now.tv_sec)
        return server->date;
    if (gmtime_r(&now.tv_sec, &tm) == NULL)
        return server->date;
    server->date_second = now.tv_sec;
    snprintf(server->date, sizeof server->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * (tm.tm_wday % 7),
             (unsigned)tm.tm_mday % 100, months + 3 * (tm.tm_mon % 12), (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    return server->date;
}

#define PUT(buf, literal) ifab_buf_put((buf), ("" literal), sizeof(literal) - 1)

static void put_status(struct ifab_buf *out, int status)
{
    if (status == 200) {
        PUT(out, "HTTP/1.1 200 OK\r\n");
        return;
    }
    PUT(out, "HTTP/1.1 ");
    ifab_buf_u64(out, (uint64_t)status);
    ifab_buf_char(out, ' ');
    ifab_buf_str(out, reason(status));
    PUT(out, "\r\n");
}

void ifab_http__answer_write(struct ifab_http_server *server, struct ifab_buf *out, const struct ifab_http__answer *answer)
{
    bool bodiless = answer->status == 204 || answer->status == 304; /* RFC 9110 15.3.5, 15.4.5 */
    ifab_buf_reserve(out, 256 + answer->headers.size + answer->body.size);
    put_status(out, answer->status);
    if (answer->content_type != NULL && !bodiless) {
        PUT(out, "Content-Type: ");
        ifab_buf_str(out, answer->content_type);
        PUT(out, "\r\n");
    }
    if (answer->streams) {
        PUT(out, "Cache-Control: no-store\r\n");
        if (answer->chunked)
            PUT(out, "Transfer-Encoding: chunked\r\n");
    } else if (!bodiless) {
        PUT(out, "Content-Length: ");
        ifab_buf_u64(out, answer->body.size);
        PUT(out, "\r\n");
    }
    PUT(out, "Date: ");
    ifab_buf_str(out, date(server));
    PUT(out, "\r\n");
    if (answer->closes)
        PUT(out, "Connection: close\r\n");
    ifab_buf_view(out, answer->headers);
    PUT(out, "\r\n");
    if (!answer->head_only && !bodiless)
        ifab_buf_view(out, answer->body);
}

/* Lines "Name: value\r\n", nothing else: a value taken from outside cannot begin a second answer. */
bool ifab_http__headers_valid(struct ifab_view headers, const char *content_type)
{
    struct ifab_http_scan scan = {.size = 0};
    size_t used = 0;
    for (const char *c = content_type == NULL ? "" : content_type; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    }
    if (headers.size == 0)
        return true;
    if (ifab_http_scan(&scan, SIZE_MAX, SIZE_MAX - 1, headers, &used) != IFAB_HTTP_SCAN_MORE || scan.line_size != 0 || scan.cr)
        return false;
    for (size_t at = 0; at < headers.size;) {
        const uint8_t *end = memchr(headers.data + at, '\r', headers.size - at);
        size_t size = end == NULL ? 0 : (size_t)(end - headers.data) - at;
        const uint8_t *colon = size == 0 ? NULL : memchr(headers.data + at, ':', size);
        if (colon == NULL || colon == headers.data + at)
            return false;
        at += size + 2;
    }
    return true;
}

void ifab_http__chunk_write(struct ifab_buf *out, struct ifab_view bytes)
{
    char size[24];
    int digits = snprintf(size, sizeof size, "%zx\r\n", bytes.size);
    ifab_buf_reserve(out, bytes.size + sizeof size + 2);
    ifab_buf_put(out, size, (size_t)digits);
    ifab_buf_view(out, bytes);
    PUT(out, "\r\n");
}
