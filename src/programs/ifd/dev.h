#ifndef IFD_DEV_H
#define IFD_DEV_H
/* ifd --dev: a fabric in a temporary directory with agents Demo.A and Demo.B, and on stderr the lines to paste. Exit code of the process. */
int ifab_dev_run(const char *program, const char *version);
#endif
