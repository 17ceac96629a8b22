#ifndef IFCTL_DOCTOR_H
#define IFCTL_DOCTOR_H
/* doctor: what is found, collected. The checks of files, and those of what runs, are two rooms of one command. */
#include <sys/types.h>

#include "cli.h"
#include "config/config.h"

enum doctor_state { DOCTOR_GOOD, DOCTOR_WARN, DOCTOR_BAD };
struct doctor {
    struct cli *cli;
    struct ifab_config *config;
    struct ifab_buf text;
    char vkey[512];  /* of log.key as it lies there; "" when it cannot be read */
    char origin[300];
    uid_t owner;     /* of DIR: everything in it must be of the same */
    bool owned;      /* owner is known */
    pid_t holder;    /* who holds the lock; 0: nobody */
    bool bad_rules;
    uint8_t rules32[32]; /* of rules.yaml as it lies there; only while it is not bad */
    size_t count, bad;
};
__attribute__((format(printf, 4, 5))) void doctor_say(struct doctor *d, enum doctor_state state, const char *check, const char *format, ...);
/* Owner, kind and mode of a file or directory. others: bits that must not be set. false: it is not there, or not of that kind. */
bool doctor_mode(struct doctor *d, const char *check, const char *path, bool directory, mode_t others);
bool doctor_config(struct doctor *d); /* false: nothing further can be looked at */
void doctor_files(struct doctor *d);  /* keys, data, run, store, certificate, anchors, disk */
/* What the settings say, against what the running daemon has: access.uids, rules in force, capabilities.config. client: of the daemon that serves this directory. */
void doctor_asked(struct doctor *d, struct ifab_client *client);
#endif
