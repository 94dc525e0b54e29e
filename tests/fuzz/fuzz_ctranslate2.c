// CTranslate2's model.bin: refused in words, or every variable lies within the file, and it becomes
// a Whisper model or is refused as one.
#include "fuzz.h"

#include "io/pretrained.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    hn_pretrained *p = hn__calloc(1, sizeof *p);
    if (hn__ctranslate2_read(data, n, "x", &p->files) == HN_OK) {
        fuzz_touch(p->files);
        if (hn__pretrained_from_ctranslate2(p) == HN_OK)
            fuzz_touch(p->tensors);
        else
            fuzz_check_text();
    } else {
        FUZZ_CHECK(!p->files);
        fuzz_check_text();
    }
    hn_pretrained_close(&p);
    return 0;
}
