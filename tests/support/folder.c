// A folder of its own for a test.
#include "support/folder.h"
#include "support/check.h"

#include "base/os.h"

#include <stdio.h>
#include <unistd.h>

static char folder[64];

void folder_make(const char *what)
{
    snprintf(folder, sizeof folder, "test-%s-%ld", what, (long)getpid());
    CHECK_OK(hn__remove_all(folder));
    CHECK_OK(hn__mkdirs(folder));
}

const char *folder_path(const char *name)
{
    static char path[8][512];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

void folder_remove(void)
{
    CHECK_OK(hn__remove_all(folder));
}

const char *folder_put(const char *name, const void *data, size_t n)
{
    const char *path = folder_path(name);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(data, 1, n, f) == n && fclose(f) == 0, "cannot write %s", path);
    return path;
}
