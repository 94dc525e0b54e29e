// UTF-8: checking it, whole files of it, and its canonical composed form.
#ifndef HN_IO_TEXT_H
#define HN_IO_TEXT_H

#include "base/os.h"

// How many leading bytes are valid UTF-8 (no surrogates, nothing overlong, at most U+10FFFF).
size_t hn__utf8_valid(const uint8_t *p, size_t n);
// True where all n bytes are valid UTF-8 without control characters: fit for a line of text.
bool hn__is_plain(const void *text, size_t n);
// The character at p, which is valid UTF-8; *n_bytes is its length.
uint32_t hn__utf8_char(const uint8_t *p, size_t *n_bytes);
// Unicode's White_Space.
bool hn__is_space(uint32_t c);

// Maps a text file. Errors: IO; FORMAT with the offset of the first byte that is not UTF-8.
hn_status hn__text_open(const char *path, hn__map *out);

// Normal form C of valid UTF-8, as tokenizer files mean it: by Unicode 9. *out is NULL where the
// text is in that form by its first look; otherwise it is freed by hn__free. Errors: NOMEM.
hn_status hn__nfc(const uint8_t *p, size_t n, uint8_t **out, size_t *n_out);

#endif
