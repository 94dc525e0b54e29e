#include "support/models.h"

#include "base/os.h"
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *model_folder(const char *name)
{
    static char path[4096];
    const char *root = getenv("HORNITO_MODELS"), *must = getenv("HN_TEST_MODELS");

    if (root && *root) {
        snprintf(path, sizeof path, "%s/%s", root, name);
        if (hn__is_dir(path))
            return path;
    }
    CHECK(!must || strcmp(must, "required") != 0,
          "model %s is not in '%s' (HORNITO_MODELS); tools/get-models %s fetches it", name,
          root ? root : "", name);
    print_message("model %s is not there: skipped; tools/get-models %s fetches it\n", name, name);
    skip();
    return NULL;
}
