/*
 * Bytes as a course of events: messages of several talents (fresh, repeated, damaged), votes, acts on talents, clock steps, ticks, changed
 * rules, restarts. drive.h holds the invariants and aborts where one does not hold.
 */
#include "../tests/support/drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct drive drive;
    drive_begin(&drive, 0, data, size);
    drive.weight_message = 56;
    drive.weight_vote = 20;
    drive.reload_every = 7;
    for (int steps = 0; drive.at < drive.end && steps < 300; steps++)
        drive_step(&drive);
    drive_end(&drive);
    return 0;
}
