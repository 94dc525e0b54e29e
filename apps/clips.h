// Lists of recordings and what is said in them: text files, a line each,
//     path<TAB>text     or     path<TAB>seconds<TAB>text
#ifndef HORNITO_APP_CLIPS_H
#define HORNITO_APP_CLIPS_H

#include "base/base.h"
#include "hornito/train.h"

typedef struct clips {
    hn__arena arena;
    hn_clip *clip;
    int64_t n, cap;
} clips;

// Reads a list. Paths are relative to `dir`, or to the list's own folder where dir is NULL; where
// there is no such file, the endings of recordings are tried. Empty lines are passed over.
// Errors: IO and FORMAT with file and line; NOMEM. *out is then empty.
hn_status clips_read(const char *path, const char *dir, clips *out);
void clips_free(clips *c);

#endif
