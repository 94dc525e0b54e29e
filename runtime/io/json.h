// JSON over jansson: untrusted files loaded with bounds, fields fetched with words for what is
// wrong, files replaced atomically. A json_t made here is freed by json_decref.
#ifndef HN_IO_JSON_H
#define HN_IO_JSON_H

#include "base/base.h"

#include <jansson.h>

enum { HN__JSON_DEPTH = 64 }; // deepest nesting accepted

// Parses n bytes; `name` stands in error texts. *out is NULL on failure. An integer that 64 bits
// do not hold becomes a real, of at least 12 digits.
// Errors: FORMAT with the line (syntax, invalid UTF-8, a key twice, too deep); NOMEM.
hn_status hn__json_parse(const void *data, size_t n, const char *name, json_t **out);
// The same for a file of at most `most` bytes. Errors: also IO, and FORMAT where it is larger.
hn_status hn__json_load(const char *path, size_t most, json_t **out);
// Replaces `path` atomically. Numbers are written so that they read back the same.
hn_status hn__json_save(const char *path, const json_t *v);

// Fields of an object. `where` is what comes first in an error text ("file 'config.json'");
// the text is then: file 'config.json': "hidden_size": not an integer.
// Errors: FORMAT where the field is missing or of another type. Results are borrowed.
hn_status hn__json_int(const json_t *o, const char *where, const char *key, int64_t least,
                       int64_t most, int64_t *out);
hn_status hn__json_real(const json_t *o, const char *where, const char *key, double *out);
hn_status hn__json_bool(const json_t *o, const char *where, const char *key, bool *out);
hn_status hn__json_string(const json_t *o, const char *where, const char *key, const char **out);
hn_status hn__json_object(const json_t *o, const char *where, const char *key,
                          const json_t **out);
hn_status hn__json_array(const json_t *o, const char *where, const char *key, const json_t **out);
// True where the field is there and is not null.
bool hn__json_has(const json_t *o, const char *key);

// Puts v (taken even on failure, NULL after a failed json_...() call) into an object or at the
// end of an array. Errors: NOMEM.
hn_status hn__json_set(json_t *o, const char *key, json_t *v);
hn_status hn__json_append(json_t *a, json_t *v);
// A number, or null where x is not finite, as JSON has no word for it.
json_t *hn__json_finite(double x);

// A hash over all fields of an object but "hash", however the file is written. Errors: NOMEM.
hn_status hn__json_content(const json_t *o, uint64_t *out);
// A checksum over an object, kept in its field "hash": over its other fields, however the file is
// written. Set before saving. Errors of check: FORMAT where it is missing or wrong; NOMEM.
hn_status hn__json_seal(json_t *o);
hn_status hn__json_check_seal(const json_t *o, const char *where);
// A hash as a field: 16 hexadecimal digits, as JSON numbers cannot hold one.
json_t *hn__json_hash(uint64_t hash);
hn_status hn__json_get_hash(const json_t *o, const char *where, const char *key, uint64_t *out);

#endif
