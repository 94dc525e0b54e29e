// The operating system: files mapped and replaced, folders, clocks, threads.
#ifndef HN_BASE_OS_H
#define HN_BASE_OS_H

#include "base/base.h"

#include <stdio.h>

// Monotonic nanoseconds.
uint64_t hn__now_ns(void);
// Processors this process may use, at least 1.
int hn__cpu_count(void);

// A file mapped for reading. {0} is none. An empty file has data "" and size 0.
typedef struct hn__map {
    const uint8_t *data;
    size_t size;
} hn__map;
// Errors: IO with path and reason (a folder, missing, not readable).
hn_status hn__map_open(const char *path, hn__map *out);
void hn__map_close(hn__map *m);
// Gives the memory of n bytes at `data`, where they lie in the map, back to the system: they are
// read from the file again should anyone ask.
void hn__map_release(const hn__map *m, const void *data, size_t n);

// A file that appears whole or not at all: written to `path.tmp-<pid>`, synced, renamed.
typedef struct hn__newfile {
    FILE *f;
    char *path, *tmp;
} hn__newfile;
hn_status hn__newfile_open(const char *path, hn__newfile *out);
hn_status hn__newfile_write(hn__newfile *f, const void *data, size_t n);
// Flushes, syncs, renames. On failure the temporary is removed and `path` is as it was.
hn_status hn__newfile_commit(hn__newfile *f);
// Removes the temporary. Does nothing after a commit, or on {0}.
void hn__newfile_abort(hn__newfile *f);

// Makes the folder and its parents; OK where it exists.
hn_status hn__mkdirs(const char *path);
// Renames a folder or file over `to`, which is replaced where it is a file; syncs the parent.
hn_status hn__rename(const char *from, const char *to);
// Removes a file, or a folder with all in it. OK where there is none.
hn_status hn__remove_all(const char *path);
// Calls `each` for every name in a folder (not "." and ".."), in no order, until one fails. The
// folder may change meanwhile.
hn_status hn__list(const char *dir, hn_status (*each)(void *user, const char *name), void *user);
// Waits until a file or folder is on the disk.
hn_status hn__sync(const char *path);
bool hn__exists(const char *path);
bool hn__is_dir(const char *path);
// "dir/name" allocated by hn__calloc; NULL when out of memory.
char *hn__path_join(const char *dir, const char *name);

#endif
