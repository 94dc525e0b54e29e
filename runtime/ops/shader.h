// The compiled shaders that the build embeds: "<file>.<type>", ended by a NULL name.
#ifndef HN_OPS_SHADER_H
#define HN_OPS_SHADER_H

#include <stddef.h>
#include <stdint.h>

typedef struct hn__shader {
    const char *name;
    const uint32_t *words;
    size_t n_words;
} hn__shader;
extern const hn__shader hn__shaders[];
const hn__shader *hn__shader_find(const char *name); // NULL: it was not built

#endif
