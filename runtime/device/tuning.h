// What is known of kernels on one driver: which answered rightly, and which variant was the fastest
// for an instance of an operator. Kept as text, a file a driver:
//
//   hornito tuning 1
//   driver <device's name> <its driver>                  fields are separated by tabs
//   right <code> <operator> <variant>
//   wrong <code> <operator> <variant> <what came out>
//   best <code> <instance> <variant> <microseconds> <those of the default>
//   end <hash of what stands before this line>
//
// <code> is the hash of the SPIR-V that runs: what was said of other code does not count. The
// table knows neither operators nor variants; plan/choose.c makes these words.
#ifndef HN_DEVICE_TUNING_H
#define HN_DEVICE_TUNING_H

#include "base/base.h"

typedef enum hn__verdict { HN__UNTESTED, HN__RIGHT, HN__WRONG, HN__BEST } hn__verdict;

typedef struct hn__tuning_row {
    hn__verdict kind;       // never UNTESTED
    uint64_t code;
    const char *what;       // the operator; of a BEST the instance
    const char *variant;
    const char *why;        // of a WRONG; otherwise NULL
    double us, default_us;  // of a BEST
} hn__tuning_row;

typedef struct hn__tuning hn__tuning;

// A table for a driver, from `path` where there is such a file of this driver and it is whole;
// otherwise empty, and the log says why. path NULL: in memory only.
hn_status hn__tuning_create(const char *name, const char *driver, const char *path,
                            hn__tuning **out);
// Writes the file where rows were added (a failure goes to the log), and frees it.
void hn__tuning_destroy(hn__tuning **t);

// Adds a row, or replaces the one of the same kind (RIGHT and WRONG are one), what, variant (of a
// BEST: whatever its variant) and code. Strings are copied; tabs and line ends in them become spaces.
hn_status hn__tuning_put(hn__tuning *t, const hn__tuning_row *row);
int64_t hn__tuning_count(const hn__tuning *t);
// i in [0, count); valid until the next put.
const hn__tuning_row *hn__tuning_at(const hn__tuning *t, int64_t i);

hn_status hn__tuning_save(const hn__tuning *t, const char *path);
// Adds the rows of a file. Of another driver of the same device what was best is taken and the
// verdicts are not. Errors, and nothing is added: IO, NOMEM; ARG where it is another device's;
// FORMAT, with the line, where it is not whole.
hn_status hn__tuning_load(hn__tuning *t, const char *path);

#endif
