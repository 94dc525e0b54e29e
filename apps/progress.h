// One line about long work: a rate, the time left. On a terminal it is redrawn in place, at most
// five times a second, and erased at the end; elsewhere a plain line appears now and then.
#ifndef HORNITO_PROGRESS_H
#define HORNITO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *what, *unit;
    int64_t n_items, from;       // in all, and done before this run
    double per_item;             // units of one item
    uint64_t began_ns, said_ns;  // when
    double plain_s;              // seconds between plain lines
    bool terminal;
} progress;

// Work of n_items items (steps, files), `from` of which were done before; each counts `per_item`
// units, which the rate is given in: progress_begin(&p, "train", 1000, 0, 1024, "tokens").
// n_items 0: not known. Both strings are borrowed until progress_end.
void progress_begin(progress *p, const char *what, int64_t n_items, int64_t from, double per_item,
                    const char *unit);
// `done` of n_items are done. `note` ("loss 3.21") follows; may be NULL. Cheap where nothing is
// due: call it each step.
void progress_update(progress *p, int64_t done, const char *note);
// True where progress_update would draw now: for notes that are dear to make.
bool progress_due(const progress *p);
// Erases the line.
void progress_end(progress *p);

// Erases the line that is on the terminal, if any, so that something else can be printed; the next
// update draws it again.
void progress_hide(void);

#endif
