// The reader of npy: refuses in words, or gives tensors that lie within the file.
#include "fuzz.h"

#include "io/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hn_tensors *t;
    if (hn__npy_read(data, n, "x", &t) == HN_OK)
        fuzz_touch(t);
    else
        fuzz_check_text();
    hn_tensors_destroy(&t);
    return 0;
}
