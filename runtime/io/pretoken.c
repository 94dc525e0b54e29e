// Pre-tokens through PCRE2. Tokenizer files write their patterns for Oniguruma (Ruby's syntax), so
// a pattern is translated: constructs with one meaning in both pass, classes whose Unicode
// definition differs are spelled out, and all else is refused.
#include "io/pretoken.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdio.h>
#include <string.h>

enum { PATTERN_MOST = 4096, MATCH_STEPS = 1000000 };

const char hn__gpt2_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                                "|\\s+(?!\\S)|\\s+";

// ---- translation -----------------------------------------------------------------------------

typedef struct scan {
    const char *in;
    size_t at;
    char *out;
    size_t n, cap;
    int no_case;   // groups deep inside the outermost (?i:, 0 outside
    bool in_class;
} scan;

static hn_status refuse(const scan *s, const char *what)
{
    return hn_fail(HN_ERR_UNSUPPORTED, "split pattern: character %zu: %s is not supported",
                   s->at + 1, what);
}

static hn_status put(scan *s, const char *text, size_t n)
{
    if (s->n + n + 1 > s->cap) {
        const size_t cap = 2 * s->cap + n + 256;
        char *p = hn__resize(s->out, cap, 1);
        if (!p)
            return hn__nomem(cap);
        s->out = p;
        s->cap = cap;
    }
    memcpy(s->out + s->n, text, n);
    s->n += n;
    s->out[s->n] = 0;
    return HN_OK;
}

static hn_status puts_(scan *s, const char *text)
{
    return put(s, text, strlen(text));
}

// n bytes of input as they are.
static hn_status copy(scan *s, size_t n)
{
    HN_TRY(put(s, s->in + s->at, n));
    s->at += n;
    return HN_OK;
}

static bool one_of(const char *const *list, const char *name, size_t n)
{
    for (; *list; list++)
        if (strlen(*list) == n && !memcmp(*list, name, n))
            return true;
    return false;
}

// The class of a category or script, with the characters that PCRE2 may not know yet. It takes a
// bare script name for its extensions, hence "sc:".
static hn_status put_class(scan *s, const char *name, size_t n, bool script, bool negated)
{
    if (s->in_class && negated)
        return refuse(s, "a negated class inside []");
    HN_TRY(puts_(s, s->in_class ? "" : negated ? "[^" : "["));
    HN_TRY(puts_(s, script ? "\\p{sc:" : "\\p{"));
    HN_TRY(put(s, name, n));
    HN_TRY(puts_(s, "}"));
    for (int i = 0; i < hn__n_unicode_rows; i++) {
        const hn__unicode_row *r = &hn__unicode_rows[i];
        // "L" is every category that begins so; names of scripts are longer.
        if (strncmp(r->name, name, n) || (script ? strlen(r->name) != n : strlen(r->name) != 2))
            continue;
        char text[32];
        snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", (unsigned)r->first, (unsigned)r->last);
        HN_TRY(puts_(s, text));
    }
    return puts_(s, s->in_class ? "" : "]");
}

// \p{...}: general categories and some scripts. Mn and Mc are left out: they lose a character
// from one version of Unicode to another. C is left out, as it holds what is unassigned.
static hn_status property(scan *s)
{
    static const char *const categories[] = {
        "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd",
        "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", NULL
    };
    static const char *const scripts[] = { "Han",   "Hiragana", "Katakana", "Hangul",     "Latin",
                                           "Greek", "Cyrillic", "Arabic",   "Devanagari", "Hebrew",
                                           "Thai",  NULL };
    const char *name = s->in + s->at + 3, *end = strchr(name, '}');
    if (s->in[s->at + 2] != '{' || !end)
        return refuse(s, "\\p without {}");
    const size_t n = (size_t)(end - name);
    const bool script = one_of(scripts, name, n);
    if (!script && !one_of(categories, name, n))
        return refuse(s, "this property");
    HN_TRY(put_class(s, name, n, script, s->in[s->at + 1] == 'P'));
    s->at += n + 4;
    return HN_OK;
}

static hn_status escape(scan *s)
{
    const char c = s->in[s->at + 1];
    const char *as = "";
    switch (c) {
    case 'p':
    case 'P': return property(s);
    case 's': as = "\\p{White_Space}"; break;
    case 'S': as = "\\P{White_Space}"; break;
    case 'd':
    case 'D': HN_TRY(put_class(s, "Nd", 2, false, c == 'D')); break;
    case 'r': as = "\\r"; break;
    case 'n': as = "\\n"; break;
    case 't': as = "\\t"; break;
    default:
        // Before a character that is neither letter nor digit both take it as itself.
        if (c <= ' ' || c >= 0x7f || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
            (c >= 'a' && c <= 'z'))
            return refuse(s, "this escape");
        return copy(s, 2);
    }
    s->at += 2;
    return puts_(s, as);
}

static hn_status open_group(scan *s)
{
    static const char *const kinds[] = { "(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>" };
    const char *p = s->in + s->at;
    const bool fold = !strncmp(p, "(?i:", 4);
    s->no_case += s->no_case || fold;
    if (p[1] != '?')
        return copy(s, 1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(p, kinds[i], strlen(kinds[i])))
            return copy(s, strlen(kinds[i]));
    return refuse(s, "this kind of group");
}

// {n}, {n,} or {n,m}. Ruby reads a '+' or '?' after one of them in its own way.
static hn_status interval(scan *s)
{
    const char *p = s->in + s->at;
    size_t n = 1;
    const size_t digits = strspn(p + n, "0123456789");
    n += digits;
    if (digits && p[n] == ',')
        n += 1 + strspn(p + n + 1, "0123456789");
    if (!digits || p[n] != '}' || p[n + 1] == '+' || p[n + 1] == '?')
        return refuse(s, "this repeat");
    return copy(s, n + 1);
}

// Oniguruma lets a pair of letters match one character ("ss" and sharp s) without regard to case.
static bool folds_together(const char *p)
{
    static const char *const pairs[] = { "ss", "st", "ff", "fi", "fl" };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if ((p[0] | 32) == pairs[i][0] && (p[1] | 32) == pairs[i][1])
            return true;
    return false;
}

static hn_status step(scan *s)
{
    const char *p = s->in + s->at;
    if (*p == '\\')
        return escape(s);
    if (s->no_case && ((unsigned char)*p >= 0x80 || folds_together(p)))
        return refuse(s, "this letter without regard to case");
    if (s->in_class) {
        if (*p == '[' || !strncmp(p, "&&", 2))
            return refuse(s, "a set operation inside []");
        s->in_class = *p != ']';
        return copy(s, 1);
    }
    switch (*p) {
    case '(': return open_group(s);
    case '{': return interval(s);
    case '}': return refuse(s, "a bare '}'");
    case '^':
    case '$': return refuse(s, "an anchor");
    case ')': s->no_case -= s->no_case > 0; break;
    case '[':
        s->in_class = true;
        if (p[1] == ']' || !strncmp(p, "[^]", 3))
            return refuse(s, "']' at the start of []");
        return copy(s, p[1] == '^' ? 2 : 1);
    default: break;
    }
    return copy(s, 1);
}

// ---- compiling -------------------------------------------------------------------------------

static void *pcre_alloc(size_t n, void *user)
{
    (void)user;
    return hn__resize(NULL, n, 1);
}

static void pcre_free(void *p, void *user)
{
    (void)user;
    hn__free(p);
}

static hn_status compile(const char *pattern, hn__split *out)
{
    pcre2_general_context *g = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pcre2_compile_context *c = g ? pcre2_compile_context_create(g) : NULL;
    hn_status s = c ? HN_OK : hn__nomem(0);
    int e = 0;
    size_t at = 0;
    if (s == HN_OK) {
        pcre2_set_newline(c, PCRE2_NEWLINE_LF);
        out->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &e, &at, c);
        if (!out->code && e == PCRE2_ERROR_HEAP_FAILED)
            s = hn__nomem(0);
        else if (!out->code) {
            PCRE2_UCHAR text[128];
            pcre2_get_error_message(e, text, sizeof text);
            s = hn_fail(HN_ERR_FORMAT, "split pattern: %s", (const char *)text);
        }
    }
    if (s == HN_OK) {
        // Where the machine forbids generated code the interpreter serves.
        if (pcre2_jit_compile(out->code, PCRE2_JIT_COMPLETE))
            hn__log(HN_LOG_DEBUG, "split pattern: not compiled to machine code, so slower");
        out->match = pcre2_match_data_create(1, g);
        s = out->match ? HN_OK : hn__nomem(0);
    }
    pcre2_compile_context_free(c);
    pcre2_general_context_free(g);
    return s;
}

static hn_status add(hn__pretoken *p, const char *translated, bool drop_matches, bool drop_rest)
{
    if (p->n > HN__SPLITS)
        return hn_fail(HN_ERR_UNSUPPORTED, "more than %d split steps", (int)HN__SPLITS);
    hn__split *to = &p->step[p->n++];
    *to = (hn__split){ .drop_matches = drop_matches, .drop_rest = drop_rest };
    return compile(translated, to);
}

hn_status hn__pretoken_add(hn__pretoken *p, const char *pattern, bool drop_matches,
                           bool drop_rest)
{
    scan s = { .in = pattern };
    hn_status status = strlen(pattern) > PATTERN_MOST
                           ? hn_fail(HN_ERR_UNSUPPORTED, "split pattern: longer than %d bytes",
                                     (int)PATTERN_MOST)
                           : puts_(&s, "");
    while (status == HN_OK && pattern[s.at])
        status = step(&s);
    if (status == HN_OK)
        status = add(p, s.out, drop_matches, drop_rest);
    hn__free(s.out);
    return status;
}

hn_status hn__pretoken_add_literal(hn__pretoken *p, const char *text, bool drop_matches,
                                   bool drop_rest)
{
    scan s = { .in = text };
    if (!*text || strlen(text) > PATTERN_MOST)
        return hn_fail(HN_ERR_UNSUPPORTED, "split string: must have 1 to %d bytes",
                       (int)PATTERN_MOST);
    hn_status status = HN_OK;
    while (status == HN_OK && text[s.at]) {
        if (strchr("\\^$.[]|()?*+{}-#", text[s.at]))
            status = puts_(&s, "\\");
        if (status == HN_OK)
            status = copy(&s, 1);
    }
    if (status == HN_OK)
        status = add(p, s.out, drop_matches, drop_rest);
    hn__free(s.out);
    return status;
}

void hn__pretoken_free(hn__pretoken *p)
{
    for (int i = 0; i < p->n; i++) {
        pcre2_match_data_free(p->step[i].match);
        pcre2_code_free(p->step[i].code);
    }
    *p = (hn__pretoken){ 0 };
}

// ---- matching --------------------------------------------------------------------------------

// The next match at or after `from`: *begin == n + 1 where there is none.
static hn_status find(const hn__split *s, const uint8_t *text, size_t n, size_t from,
                      pcre2_match_context *limits, size_t *begin, size_t *end)
{
    int e = pcre2_match(s->code, text, n, from, PCRE2_NO_UTF_CHECK, s->match, limits);
    if (e == PCRE2_ERROR_JIT_STACKLIMIT) // the interpreter's stack is on the heap
        e = pcre2_match(s->code, text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->match,
                        limits);
    if (e == PCRE2_ERROR_NOMATCH) {
        *begin = *end = n + 1;
        return HN_OK;
    }
    if (e == PCRE2_ERROR_NOMEMORY)
        return hn__nomem(0);
    if (e < 0)
        return hn_fail(HN_ERR_UNSUPPORTED,
                       "byte %zu of a text: the split pattern needs too much backtracking", from);
    const size_t *at = pcre2_get_ovector_pointer(s->match);
    *begin = at[0];
    *end = at[1];
    return HN_OK;
}

static size_t char_bytes(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

typedef struct run {
    const hn__pretoken *p;
    pcre2_match_context *limits;
    hn__pretoken_fn each;
    void *user;
} run;

static hn_status pieces(const run *r, int k, const uint8_t *text, size_t n);

static hn_status split(const run *r, int k, const uint8_t *text, size_t n)
{
    const hn__split *s = &r->p->step[k];
    size_t done = 0, from = 0, last = SIZE_MAX; // last: where the match before ended
    while (from <= n) {
        size_t begin = 0, end = 0;
        HN_TRY(find(s, text, n, from, r->limits, &begin, &end));
        if (begin > n)
            break;
        // An empty match splits, but not where the last one ended.
        if (begin == end && begin == last) {
            from += from < n ? char_bytes(text[from]) : 1;
            last = SIZE_MAX;
            continue;
        }
        if (!s->drop_rest && begin > done)
            HN_TRY(pieces(r, k + 1, text + done, begin - done));
        if (!s->drop_matches && end > begin)
            HN_TRY(pieces(r, k + 1, text + begin, end - begin));
        done = from = last = end;
    }
    return done < n && !s->drop_rest ? pieces(r, k + 1, text + done, n - done) : HN_OK;
}

static hn_status pieces(const run *r, int k, const uint8_t *text, size_t n)
{
    uint8_t *with = NULL;
    if (r->p->prefix_space && k == r->p->prefix_at && text[0] != ' ') {
        with = hn__resize(NULL, n + 1, 1);
        if (!with)
            return hn__nomem(n + 1);
        with[0] = ' ';
        memcpy(with + 1, text, n);
        text = with;
        n++;
    }
    const hn_status s = k == r->p->n ? r->each(r->user, text, n) : split(r, k, text, n);
    hn__free(with);
    return s;
}

hn_status hn__pretoken_run(const hn__pretoken *p, const uint8_t *text, size_t n,
                           hn__pretoken_fn each, void *user)
{
    if (!n)
        return HN_OK;
    run r = { p, pcre2_match_context_create(NULL), each, user };
    if (!r.limits)
        return hn__nomem(0);
    pcre2_set_match_limit(r.limits, MATCH_STEPS);
    pcre2_set_depth_limit(r.limits, MATCH_STEPS);
    const hn_status s = pieces(&r, 0, text, n);
    pcre2_match_context_free(r.limits);
    return s;
}
