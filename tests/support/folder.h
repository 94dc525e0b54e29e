// A folder of its own for a test, made under the working folder and removed with all in it.
#ifndef HN_TESTS_FOLDER_H
#define HN_TESTS_FOLDER_H

#include <stddef.h>

// Makes an empty folder named after the test and the process; `what` tells several apart.
void folder_make(const char *what);
// "folder/name", in one of 8 buffers used in turn.
const char *folder_path(const char *name);
void folder_remove(void);
// Writes a file into it; its path.
const char *folder_put(const char *name, const void *data, size_t n);

#endif
