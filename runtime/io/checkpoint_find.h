// Checkpoints in a folder: listed by age, checked; and what writer and reader share.
#ifndef HN_IO_CHECKPOINT_FIND_H
#define HN_IO_CHECKPOINT_FIND_H

#include "io/json.h"

typedef struct hn__found {
    char *path;
    int64_t step, serial;
    bool aside; // replaced by another of its step
} hn__found;

typedef struct hn__found_list {
    hn__found *item;
    int64_t n, cap;
    int64_t n_unreadable; // folders whose checkpoint.json cannot be read; each is logged
} hn__found_list;

// All with a readable checkpoint.json, the newest first. They are not checked further.
hn_status hn__checkpoint_list(const char *dir, hn__found_list *out);
void hn__found_free(hn__found_list *l);
// Removes what writers that are no more left behind.
hn_status hn__checkpoint_sweep(const char *dir);
bool hn__checkpoint_is_plain(const char *name);

#endif
