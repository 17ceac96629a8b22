#ifndef BASE_BANNED_H
#define BASE_BANNED_H
/* Forced in front of every file of ours (-include). Includes first what declares these names, then makes each of them not compile. */
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#undef alloca /* a macro cannot be poisoned */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gets gmtime localtime ctime asctime alloca
#ifndef IFAB_MAY_PRINT /* programs/ifctl and tests: stdout is their business */
#pragma GCC poison printf puts fprintf vfprintf perror syslog vprintf putchar
#endif
#endif
