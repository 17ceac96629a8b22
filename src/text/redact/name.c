/*
 * Which names promise a secret. Compared in lower case without '-', '_', '.' and blanks, so that api_key, apiKey and X-Api-Key are one.
 * Strong words count anywhere in a name, weak ones only at its end: client_secret and access_token do, secret_name, token_type and
 * tokens_in do not.
 */
#include "redact/redact.h"

#include "base/mem.h"

#define NAME_MAX 128

static const char *const anywhere[] = {"password", "passphrase", "apikey",       "privatekey",   "secretkey",
                                       "clientsecret", "accesstoken", "refreshtoken", "secretaccesskey", "authorizationheader"};
static const char *const at_end[] = {"secret",    "token",  "credential", "credentials", "passwd",     "pwd",
                                     "accesskey", "bearer", "authorization", "setcookie", "signingkey", "encryptionkey"};
static const char *const whole[] = {"secrets", "cookie", "pass", "apisecrets"};

static size_t normalise(struct ifab_view name, char *text)
{
    size_t size = 0;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c == '-' || c == '_' || c == '.' || c == ' ')
            continue;
        text[size++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return size;
}

static bool contains(const char *text, size_t size, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(text + i, word, length) == 0)
            return true;
    return false;
}

bool ifab_redact_secret_name(struct ifab_view name)
{
    char text[NAME_MAX];
    if (name.size < 3)
        return false;
    if (name.size > NAME_MAX) /* only its end can say what it is */
        name = (struct ifab_view){name.data + name.size - NAME_MAX, NAME_MAX};
    size_t size = normalise(name, text);
    for (size_t i = 0; i < IFAB_COUNT(anywhere); i++)
        if (contains(text, size, anywhere[i]))
            return true;
    for (size_t i = 0; i < IFAB_COUNT(at_end); i++) {
        size_t length = strlen(at_end[i]);
        if (size >= length && memcmp(text + size - length, at_end[i], length) == 0)
            return true;
    }
    for (size_t i = 0; i < IFAB_COUNT(whole); i++)
        if (size == strlen(whole[i]) && memcmp(text, whole[i], size) == 0)
            return true;
    return false;
}
