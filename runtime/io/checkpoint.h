// Checkpoints: a folder of files that appears whole or not at all, with checksums.
//
//   DIR/step-120/checkpoint.json   what belongs to it: names, bytes, hashes, and its own hash
//   DIR/step-120/...               the files
//   DIR/latest                     "step-120", for people and scripts
//
// A checkpoint is written into DIR/step-120.tmp-<pid>, every file is synced, and the folder gets
// its name as the last act. Whatever happens at any moment, what was there before can be opened.
#ifndef HN_IO_CHECKPOINT_H
#define HN_IO_CHECKPOINT_H

#include "base/base.h"

// One being written. One process at a time writes into a DIR.
typedef struct hn__checkpoint hn__checkpoint;

// Begins one. What crashed writers left in dir is removed. Errors: ARG for step < 0; IO; NOMEM.
hn_status hn__checkpoint_begin(const char *dir, int64_t step, hn__checkpoint **out);
// The path where the caller writes a file, which must be there at commit. Valid until then.
// Errors: ARG for a name that is taken or not plain (no '/', no '.' first); NOMEM.
hn_status hn__checkpoint_add(hn__checkpoint *c, const char *name, const char **out_path);
// Ends *c, whatever the result: hashes and syncs the files, gives the folder its name, replaces
// one of the same step, and removes all but the newest `keep` (at least 1).
// Errors: IO, NOMEM: dir is then as it was. A failure to remove old ones is only logged.
hn_status hn__checkpoint_commit(hn__checkpoint **c, int keep);
// Gives up; nothing is left. *c may be NULL.
void hn__checkpoint_abort(hn__checkpoint **c);

// Finds the newest checkpoint in dir whose every file is as it was written. Where a newer one is
// damaged the log says so (WARN) and the one before is taken. *out_path is its folder, to be freed
// by hn__free. Errors: IO where there is none at all, FORMAT where none is good; NOMEM.
hn_status hn__checkpoint_latest(const char *dir, char **out_path, int64_t *out_step);
// Checks one checkpoint folder in full. Errors: IO; FORMAT with the file and the reason; NOMEM.
hn_status hn__checkpoint_check(const char *path, int64_t *out_step);

// What a checkpoint.json says, each file in turn (name, bytes, hash). `each` may be NULL.
typedef hn_status (*hn__checkpoint_file_fn)(void *user, const char *name, int64_t n_bytes,
                                            uint64_t hash);
hn_status hn__checkpoint_read(const void *json, size_t n, const char *name, int64_t *step,
                              int64_t *serial, hn__checkpoint_file_fn each, void *user);

#endif
