/* Every store back-end against the one suite. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../conformance/conformance_store.c"

int main(void) { return cmocka_run_group_tests(store_suite, NULL, NULL); }
