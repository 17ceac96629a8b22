#ifndef BASE_GLOBAL_FLAGS_H
#define BASE_GLOBAL_FLAGS_H
/*
 * Flags that every command of ifctl takes: SURFACE section 9. The one table: the command line's parser and help expand it, and a capability's
 * manifest may name no parameter so. X(name, letter or 0, placeholder or NULL for a switch, help)
 */
#define IFAB_GLOBAL_FLAG_MAP(X)                                                                                     \
    X("why", 0, "TEXT", "reason that goes into the log (IFAB_WHY)")                                                 \
    X("trace", 0, "[=TOKEN]", "begin a trace and print its token, or join one")                                     \
    X("trace-token", 0, "TOKEN", "the same as --trace=TOKEN")                                                       \
    X("trace-id", 0, "TOKEN", "the same as --trace=TOKEN")                                                          \
    X("ref", 0, "REF", "a reference for the log: repo:/PATH[@COMMIT] or if://…; may be repeated")                   \
    X("mode", 0, "normal|dry-run|falsify", "decide only, or try to disprove, instead of acting")                    \
    X("as", 0, "NAME[/INSTANCE]", "talent to act as (IFAB_AS; default operator)")                                   \
    X("key", 0, "FILE", "its private key (IFAB_KEY; default DIR/keys/NAME.pem)")                                    \
    X("passphrase-fd", 0, "N", "read the passphrase of the key, also of a new one, from this descriptor")           \
    X("endpoint", 0, "unix:PATH|http(s)://HOST:PORT", "where the fabric answers (IFAB_ENDPOINT)")                   \
    X("dir", 0, "DIR", "directory of the fabric (IFAB_DIR)")                                                        \
    X("ca", 0, "FILE", "https: certificates to trust instead of the system's, PEM (IFAB_CA)")                       \
    X("cert", 0, "FILE", "https: certificate to show, PEM (IFAB_CERT)")                                             \
    X("cert-key", 0, "FILE", "https: its private key, PEM, 0600 (IFAB_CERT_KEY); none: it stands in the certificate's file") \
    X("token-file", 0, "FILE", "file with a bearer token (IFAB_TOKEN_FILE)")                                        \
    X("output", 'o', "table|json|ndjson|yaml|csv", "form of what is printed")                                       \
    X("retry", 0, "N", "try again after retryable answers, with growing waits")                                     \
    X("timeout", 0, "TIME", "longest wait for one answer (default 30s); worker run: for its command (default 5min)") \
    X("quiet", 'q', NULL, "no talk on stderr but errors")                                                           \
    X("help", 'h', NULL, "show help")
#endif
