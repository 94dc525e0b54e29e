// UTF-8: validity, text files, normal form C.
#include "io/text.h"

#include "hornito/io.h"

#include <string.h>
#include <utf8proc.h>

// The length of the valid character at p, 0 where there is none, or -k where the k bytes that
// are there could begin one.
static int check(const uint8_t *p, size_t n)
{
    const uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    const int len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    // The second byte rules out overlong forms, surrogates, and what lies above U+10FFFF.
    const uint8_t least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    const uint8_t most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    for (int i = 1; i < len; i++) {
        if ((size_t)i == n)
            return -i;
        if (p[i] < (i == 1 ? least : 0x80) || p[i] > (i == 1 ? most : 0xbf))
            return 0;
    }
    return len;
}

size_t hn__utf8_valid(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        if (n - i >= 8 && (memcpy(&word, p + i, 8), !(word & 0x8080808080808080u))) {
            i += 8;
            continue;
        }
        const int len = check(p + i, n - i);
        if (len <= 0)
            break;
        i += (size_t)len;
    }
    return i;
}

bool hn__is_plain(const void *text, size_t n)
{
    const uint8_t *p = text;
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] == 0x7f)
            return false;
    return hn__utf8_valid(p, n) == n;
}

size_t hn_utf8_complete(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t back = n < 3 ? n : 3; back; back--)
        if (check(p + n - back, back) == -(int)back)
            return n - back;
    return n;
}

uint32_t hn__utf8_char(const uint8_t *p, size_t *n_bytes)
{
    const uint32_t c = p[0];
    const int n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t v = n == 1 ? c : c & (0xffu >> (n + 1));
    for (int i = 1; i < n; i++)
        v = v << 6 | (p[i] & 0x3f);
    *n_bytes = (size_t)n;
    return v;
}

bool hn__is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

hn_status hn__text_open(const char *path, hn__map *out)
{
    HN_TRY(hn__map_open(path, out));
    const size_t n = hn__utf8_valid(out->data, out->size);
    if (n == out->size)
        return HN_OK;
    hn__map_close(out);
    return hn_fail(HN_ERR_FORMAT, "file '%s': byte %zu: not UTF-8 text", path, n);
}

// ---- normal form C ---------------------------------------------------------------------------

// Below U+0300 nothing combines, and every character is its own normal form.
static bool is_composed(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] >= 0xcc)
            return false;
    return true;
}

// Combining marks, and one pair that composes, which Unicode has had since version 10. The
// normaliser that tokenizer files are made for knows version 9 and leaves them where they stand.
static const uint32_t later[][2] = {
    { 0x7fd, 0x7fd },     { 0x898, 0x89f },     { 0x8ca, 0x8d3 },     { 0x9fe, 0x9fe },
    { 0xc3c, 0xc3c },     { 0xd3b, 0xd3c },     { 0xeba, 0xeba },     { 0x1715, 0x1715 },
    { 0x1abf, 0x1ace },   { 0x1df6, 0x1dfa },   { 0xa82c, 0xa82c },   { 0x10d24, 0x10d27 },
    { 0x10eab, 0x10eac }, { 0x10efd, 0x10eff }, { 0x10f46, 0x10f50 }, { 0x10f82, 0x10f85 },
    { 0x11070, 0x11070 }, { 0x1133b, 0x1133b }, { 0x1145e, 0x1145e }, { 0x11839, 0x1183a },
    { 0x11930, 0x11930 }, { 0x11938, 0x11938 }, { 0x1193d, 0x1193e }, { 0x11943, 0x11943 },
    { 0x119e0, 0x119e0 }, { 0x11a34, 0x11a34 }, { 0x11a47, 0x11a47 }, { 0x11a99, 0x11a99 },
    { 0x11d42, 0x11d42 }, { 0x11d44, 0x11d45 }, { 0x11d97, 0x11d97 }, { 0x11f41, 0x11f42 },
    { 0x16ff0, 0x16ff1 }, { 0x1e08f, 0x1e08f }, { 0x1e130, 0x1e136 }, { 0x1e2ae, 0x1e2ae },
    { 0x1e2ec, 0x1e2ef }, { 0x1e4ec, 0x1e4ef },
};

static bool is_later(uint32_t c)
{
    for (size_t i = 0; i < sizeof later / sizeof *later && later[i][0] <= c; i++)
        if (c <= later[i][1])
            return true;
    return false;
}

static utf8proc_ssize_t decompose(const uint8_t *p, size_t n, int32_t *out, size_t cap)
{
    const utf8proc_option_t flags = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    size_t at = 0;
    int last = 0;
    for (size_t i = 0, len; i < n; i += len) {
        const int32_t c = (int32_t)hn__utf8_char(p + i, &len);
        utf8proc_ssize_t m = 1;
        if (!is_later((uint32_t)c))
            m = utf8proc_decompose_char(c, out ? out + at : NULL, (utf8proc_ssize_t)(cap - at),
                                        flags, &last);
        else if (out)
            out[at] = c;
        if (m < 0)
            return m;
        at += (size_t)m;
    }
    return (utf8proc_ssize_t)at;
}

static int class_of(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

// Canonical order: marks between two starters sorted by class, equal ones in place. Counting, as a
// hostile text may be one run of marks. `from` holds as many elements as c.
static void reorder(int32_t *c, int32_t *from, size_t n)
{
    for (size_t i = 0, end; i < n; i = end + 1) {
        for (end = i; end < n && class_of(c[end]); end++)
            ;
        if (end - i < 2)
            continue;
        size_t count[257] = { 0 };
        for (size_t j = i; j < end; j++)
            count[class_of(c[j]) + 1]++;
        for (int k = 1; k < 257; k++)
            count[k] += count[k - 1];
        memcpy(from, c + i, (end - i) * sizeof *c);
        for (size_t j = 0; j < end - i; j++)
            c[i + count[class_of(from[j])]++] = from[j];
    }
}

// Puts n decomposed characters together, stretch by stretch between later marks; c has room for as
// many again. Returns how many are left.
static utf8proc_ssize_t compose(int32_t *c, utf8proc_ssize_t n)
{
    utf8proc_ssize_t k = 0;
    for (utf8proc_ssize_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && !is_later((uint32_t)c[end]); end++)
            ;
        reorder(c + i, c + n, (size_t)(end - i));
        const utf8proc_ssize_t m =
            utf8proc_normalize_utf32(c + i, end - i, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        memmove(c + k, c + i, (size_t)m * sizeof *c);
        k += m;
        if (end < n)
            c[k++] = c[end++];
    }
    return k;
}

hn_status hn__nfc(const uint8_t *p, size_t n, uint8_t **out, size_t *n_out)
{
    *out = NULL;
    *n_out = n;
    if (is_composed(p, n))
        return HN_OK;
    const utf8proc_ssize_t m = decompose(p, n, NULL, 0);
    if (m < 0)
        return hn_fail(HN_ERR_FORMAT, "normal form C: %s", utf8proc_errmsg(m));
    int32_t *c = hn__resize(NULL, 2 * (size_t)m, sizeof *c);
    if (!c)
        return hn__nomem(2 * (size_t)m * sizeof *c);
    decompose(p, n, c, (size_t)m);
    const utf8proc_ssize_t k = compose(c, m);
    // In place from here: a character takes at most the 4 bytes of its number.
    size_t at = 0;
    for (utf8proc_ssize_t i = 0; i < k; i++)
        at += (size_t)utf8proc_encode_char(c[i], (uint8_t *)c + at);
    *out = (uint8_t *)c;
    *n_out = at;
    return HN_OK;
}
