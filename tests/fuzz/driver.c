// Runs a fuzzer's function over the files of folders, each also cut at some lengths, and small ones
// at every length: the saved corpus in the normal test run, without libFuzzer.
#include "fuzz.h"

#include "base/os.h"

#include <string.h>

enum { SMALL = 1200 };

static int n_files;

// A copy of its own, exactly as long, so that a sanitizer sees every byte read past its end.
static void run(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static hn_status one(void *user, const char *name)
{
    char *path = hn__path_join(user, name);
    hn__map m;
    HN_TRY(path ? hn__map_open(path, &m) : hn__nomem(0));
    run(m.data, m.size);
    for (size_t cut = m.size; cut > 0; cut -= m.size > SMALL ? 1 + cut / 16 : 1)
        run(m.data, cut - 1);
    hn__map_close(&m);
    hn__free(path);
    n_files++;
    return HN_OK;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (hn__list(argv[i], one, argv[i]) != HN_OK) {
            fprintf(stderr, "%s\n", hn_error_text());
            return 1;
        }
    printf("%d files\n", n_files);
    return n_files ? 0 : 1;
}
