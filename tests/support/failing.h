// Every allocation of a piece of work made to fail in turn.
#ifndef HN_TESTS_FAILING_H
#define HN_TESTS_FAILING_H

#include "hornito/base.h"

// Runs work() with the 1st, 2nd, ... allocation failing, until none fails: each time the status
// must be NOMEM (or OK, where the allocation can be done without), and all must be freed.
// Returns how many allocations there were.
long failing_allocations(const char *what, hn_status (*work)(void *user), void *user);

#endif
