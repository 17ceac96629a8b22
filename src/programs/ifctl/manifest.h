#ifndef IFCTL_MANIFEST_H
#define IFCTL_MANIFEST_H
/* A manifest file as commands read it. */
#include "capability/manifest.h"
#include "cli.h"

struct cli_manifest {
    struct ifab_arena arena;
    struct ifab_buf text;
    struct ifab_manifest manifest; /* borrows from both */
};
/* JSON or YAML, of at most 128 KiB; "-" is stdin. 0, or an exit code after saying what is wrong and where. Ended by cli_manifest_fini() in both cases. */
int cli_manifest_read(struct cli *cli, const char *file, struct cli_manifest *ret);
void cli_manifest_fini(struct cli_manifest *self);
/* "vmix.switcher", "if://capability/vmix.switcher", each with or without @VERSION, as its two parts; version "" when there is none. */
#define CLI_CAPABILITY_NAME_MAX (IFAB_CAPABILITY_ID_MAX + 1)
int cli_capability_word(struct cli *cli, const char *word, char ret_name[CLI_CAPABILITY_NAME_MAX], char ret_version[IFAB_CAPABILITY_VERSION_MAX + 1]);
#endif
