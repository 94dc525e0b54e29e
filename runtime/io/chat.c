// Chat formats: a table, and conversations written by it.
#include "hornito/chat.h"

#include "base/base.h"

#include <stdio.h>
#include <string.h>

enum { MARKS = 4 };

// What stands around messages. All of it but the messages may hold special tokens.
typedef struct format {
    const char *name;
    const char *marks[MARKS]; // a template that holds all of these writes this format
    const char *start;        // before the first message
    const char *system[2];    // before and after the system message
    bool inside;              // it stands within the first message of the user, before the text
    const char *usual_system; // the message where there is none; NULL: then nothing is written
    const char *user[2];
    const char *answer; // before an answer
    const char *gap;    // between that and the answer; the model writes it itself
    const char *end;    // after an answer
    bool trim;          // white space around messages is left out
    const char *ends[HN_CHAT_ENDS]; // tokens after which a model's answer is over
} format;

#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"

// Rows with more marks stand before those with fewer of the same.
static const format formats[] = {
    // Which start token and which usual system message there are, the template says.
    { .name = "chatml",
      .marks = { "<|im_start|>", "<|im_end|>" },
      .start = "",
      .system = { "<|im_start|>system\n", "<|im_end|>\n" },
      .user = { "<|im_start|>user\n", "<|im_end|>\n" },
      .answer = "<|im_start|>assistant\n",
      .gap = "",
      .end = "<|im_end|>\n",
      .ends = { "<|im_end|>" } },
    // Its template has a date of its own for where no clock is given.
    { .name = "llama3.1",
      .marks = { "<|start_header_id|>", "<|eot_id|>", "Cutting Knowledge Date: December 2023",
                 "26 Jul 2024" },
      .start = "<|begin_of_text|>",
      .system = { HEADER("system") "Cutting Knowledge Date: December 2023\n"
                                   "Today Date: 26 Jul 2024\n\n", "<|eot_id|>" },
      .usual_system = "",
      .user = { HEADER("user"), "<|eot_id|>" },
      .answer = HEADER("assistant"),
      .gap = "",
      .end = "<|eot_id|>",
      .trim = true,
      .ends = { "<|eot_id|>", "<|end_of_text|>" } },
    { .name = "llama3",
      .marks = { "<|start_header_id|>", "<|eot_id|>" },
      .start = "<|begin_of_text|>",
      .system = { HEADER("system"), "<|eot_id|>" },
      .user = { HEADER("user"), "<|eot_id|>" },
      .answer = HEADER("assistant"),
      .gap = "",
      .end = "<|eot_id|>",
      .trim = true,
      .ends = { "<|eot_id|>", "<|end_of_text|>" } },
    { .name = "llama2",
      .marks = { "[INST]", "<<SYS>>" },
      .start = "",
      .system = { "<<SYS>>\n", "\n<</SYS>>\n\n" },
      .inside = true,
      .user = { "<s>[INST] ", " [/INST]" },
      .answer = "",
      .gap = " ",
      .end = " </s>",
      .trim = true,
      .ends = { "</s>" } },
    { .name = "mistral-v1",
      .marks = { " [INST] ", " [/INST]" },
      .start = "<s>",
      .system = { "", "\n\n" },
      .inside = true,
      .user = { " [INST] ", " [/INST]" },
      .answer = "",
      .gap = " ",
      .end = "</s>",
      .ends = { "</s>" } },
    { .name = "mistral",
      .marks = { "[INST] ", " [/INST]" },
      .start = "<s>",
      .system = { "", "\n\n" },
      .inside = true,
      .user = { "[INST] ", " [/INST]" },
      .answer = "",
      .gap = "",
      .end = "</s>",
      .ends = { "</s>" } },
    { .name = "mistral-v3",
      .marks = { "[INST] ", "[/INST]" },
      .start = "<s>",
      .system = { "", "\n\n" },
      .inside = true,
      .user = { "[INST] ", "[/INST]" },
      .answer = "",
      .gap = " ",
      .end = "</s>",
      .ends = { "</s>" } },
    { .name = "mistral-nemo",
      .marks = { "[INST]", "[/INST]" },
      .start = "<s>",
      .system = { "", "\n\n" },
      .inside = true,
      .user = { "[INST]", "[/INST]" },
      .answer = "",
      .gap = "",
      .end = "</s>",
      .ends = { "</s>" } },
    { .name = "zephyr",
      .marks = { "<|system|>", "<|user|>", "<|assistant|>", "eos_token" },
      .start = "",
      .system = { "<|system|>\n", "</s>\n" },
      .user = { "<|user|>\n", "</s>\n" },
      .answer = "<|assistant|>\n",
      .gap = "",
      .end = "</s>\n",
      .ends = { "</s>" } },
};

enum { N_FORMATS = sizeof formats / sizeof *formats };

struct hn_chat {
    const format *f;
    hn__arena arena; // texts
    hn_text_part *part;
    int64_t n, cap;
    int64_t taken;     // parts whose tokens were given out
    bool start_token;  // the template puts the tokenizer's own first
    const char *usual_system; // NULL: none
    hn_text_part system; // waits for the first message of the user; text NULL: none
    bool begun, opened;  // a message was added; an answer is expected
    hn_chat_role last;
};

// ---- choosing ------------------------------------------------------------------------------

const char *hn_chat_format_name(int i)
{
    return i >= 0 && i < N_FORMATS ? formats[i].name : NULL;
}

static const char *names(char *buf, size_t n)
{
    size_t at = 0;
    for (int i = 0; i < N_FORMATS && at < n; i++)
        at += (size_t)snprintf(buf + at, n - at, "%s%s", i ? ", " : "", formats[i].name);
    return buf;
}

static bool has_marks(const format *f, const char *jinja)
{
    for (int i = 0; i < MARKS && f->marks[i]; i++)
        if (!strstr(jinja, f->marks[i]))
            return false;
    return true;
}

// The start of a template in one line, for people.
static const char *beginning(const char *jinja, char buf[64])
{
    int n = 0;
    for (; jinja[n] && n < 60; n++)
        buf[n] = (unsigned char)jinja[n] < ' ' || jinja[n] == 0x7f ? ' ' : jinja[n];
    while (n && (unsigned char)buf[n - 1] >= 0x80) // no half character
        n--;
    buf[n] = 0;
    return buf;
}

static hn_status choose(const char *name, const char *jinja, const format **out)
{
    char list[256], start[64];
    for (int i = 0; i < N_FORMATS; i++) {
        *out = &formats[i];
        if (name ? !strcmp(name, formats[i].name) : jinja && has_marks(&formats[i], jinja))
            return HN_OK;
    }
    names(list, sizeof list);
    if (name)
        return hn_fail(HN_ERR_ARG, "no chat format is called '%.64s'; there are %s", name, list);
    if (!jinja)
        return hn_fail(HN_ERR_ARG, "the model has no chat template; choose one of %s", list);
    return hn_fail(HN_ERR_UNSUPPORTED, "the model's chat template ('%s...') writes no format that "
                   "is known; choose one of %s", beginning(jinja, start), list);
}

// A template's text for a newline: itself, or as Jinja's strings write it.
static size_t newline(const char *p)
{
    return *p == '\n' ? 1 : p[0] == '\\' && p[1] == 'n' ? 2 : 0;
}

// The system message that a ChatML template holds as plain text: "<|im_start|>system", a newline,
// and up to "<|im_end|>" nothing of Jinja.
static hn_status find_system(hn_chat *c, const char *jinja)
{
    static const char head[] = "<|im_start|>system", tail[] = "<|im_end|>";
    for (const char *p = jinja; (p = strstr(p, head)); p++) {
        const char *from = p + strlen(head), *end = strstr(from, tail);
        from += newline(from);
        if (!end || from == p + strlen(head) || strcspn(from, "'\"{}") < (size_t)(end - from))
            continue;
        char *text = hn__arena_alloc(&c->arena, (size_t)(end - from) + 1);
        if (!text)
            return hn__nomem((size_t)(end - from));
        c->usual_system = text;
        while (from < end) {
            const size_t n = newline(from);
            *text++ = n ? '\n' : *from;
            from += n ? n : 1;
        }
        return HN_OK;
    }
    return HN_OK;
}

hn_status hn_chat_create(const char *name, const char *jinja, hn_chat **out)
{
    const format *f;
    *out = NULL;
    HN_TRY(choose(name, jinja, &f));
    hn_chat *c = hn__calloc(1, sizeof *c);
    if (!c)
        return hn__nomem(sizeof *c);
    c->f = f;
    c->usual_system = f->usual_system;
    hn_status s = HN_OK;
    if (f == &formats[0] && jinja && has_marks(f, jinja)) {
        c->start_token = strstr(jinja, "bos_token") != NULL;
        s = find_system(c, jinja);
    }
    if (s != HN_OK)
        hn_chat_destroy(&c);
    *out = c;
    return s;
}

void hn_chat_destroy(hn_chat **c)
{
    if (!*c)
        return;
    hn__arena_reset(&(*c)->arena);
    hn__free((*c)->part);
    hn__free(*c);
    *c = NULL;
}

const char *hn_chat_format(const hn_chat *c)
{
    return c->f->name;
}

// ---- messages ------------------------------------------------------------------------------

static hn_status put(hn_chat *c, const void *text, size_t n, bool special)
{
    if (!n)
        return HN_OK;
    HN_TRY(hn__reserve((void **)&c->part, &c->cap, c->n + 1, sizeof *c->part));
    c->part[c->n++] = (hn_text_part){ text, n, special };
    return HN_OK;
}

static hn_status put_format(hn_chat *c, const char *text)
{
    return put(c, text, strlen(text), true);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// A copy, without the white space around it where the format says so.
static hn_status copy(hn_chat *c, const char *text, size_t n, hn_text_part *out)
{
    while (c->f->trim && n && is_space(text[0])) {
        text++;
        n--;
    }
    while (c->f->trim && n && is_space(text[n - 1]))
        n--;
    *out = (hn_text_part){ hn__arena_alloc(&c->arena, n + 1), n, false };
    if (!out->text)
        return hn__nomem(n);
    if (n)
        memcpy((char *)(uintptr_t)out->text, text, n);
    return HN_OK;
}

static hn_status put_part(hn_chat *c, const hn_text_part *p)
{
    return put(c, p->text, p->n, p->special);
}

static hn_status put_system(hn_chat *c, const hn_text_part *text)
{
    HN_TRY(put_format(c, c->f->system[0]));
    HN_TRY(put_part(c, text));
    return put_format(c, c->f->system[1]);
}

static hn_status add_system(hn_chat *c, const hn_text_part *text)
{
    HN_TRY(put_format(c, c->f->start));
    if (c->f->inside)
        c->system = *text;
    return c->f->inside ? HN_OK : put_system(c, text);
}

static hn_status add_user(hn_chat *c, const hn_text_part *text)
{
    if (!c->begun && c->usual_system)
        HN_TRY(add_system(c, &(hn_text_part){ c->usual_system, strlen(c->usual_system), false }));
    else if (!c->begun)
        HN_TRY(put_format(c, c->f->start));
    HN_TRY(put_format(c, c->f->user[0]));
    if (c->system.text)
        HN_TRY(put_system(c, &c->system));
    c->system.text = NULL;
    HN_TRY(put_part(c, text));
    return put_format(c, c->f->user[1]);
}

static hn_status add_answer(hn_chat *c, const hn_text_part *text)
{
    const size_t blank = strspn(c->f->end, " ");
    const bool own = c->opened && c->taken == c->n;
    if (!c->opened)
        HN_TRY(put_format(c, c->f->answer));
    HN_TRY(put(c, c->f->gap, strlen(c->f->gap), false));
    HN_TRY(put_part(c, text));
    HN_TRY(put(c, c->f->end, blank, false));
    // The model goes from its last word to the token that ends it.
    if (own)
        c->taken = c->n;
    return put_format(c, c->f->end + blank);
}

hn_status hn_chat_add(hn_chat *c, hn_chat_role role, const void *text, size_t n)
{
    static const char *const who[] = { "the system", "the user", "the assistant" };
    const bool first = !c->begun;
    const bool ok = role == HN_CHAT_SYSTEM ? first
                    : role == HN_CHAT_USER ? first || (c->last != HN_CHAT_USER && !c->opened)
                                           : !first && c->last == HN_CHAT_USER;
    hn_text_part part;
    if (!ok)
        return hn_fail(HN_ERR_ARG, "a message of %s cannot %s%s", who[role],
                       first ? "be the first" : "follow one of ", first ? "" : who[c->last]);
    HN_TRY(copy(c, text, n, &part));
    HN_TRY(role == HN_CHAT_SYSTEM ? add_system(c, &part)
           : role == HN_CHAT_USER ? add_user(c, &part)
                                  : add_answer(c, &part));
    c->begun = true;
    c->opened = false;
    c->last = role;
    return HN_OK;
}

hn_status hn_chat_open_answer(hn_chat *c)
{
    if (!c->begun || c->last != HN_CHAT_USER || c->opened)
        return hn_fail(HN_ERR_ARG, "an answer follows a message of the user");
    HN_TRY(put_format(c, c->f->answer));
    c->opened = true;
    return HN_OK;
}

int64_t hn_chat_parts(const hn_chat *c, const hn_text_part **out)
{
    *out = c->part;
    return c->n;
}

// ---- tokens --------------------------------------------------------------------------------

// Without its end token a model would not stop, and its format is another one.
hn_status hn_chat_ends(const hn_chat *c, const hn_tokenizer *t, int32_t out[], int *n)
{
    *n = 0;
    for (int i = 0; i < HN_CHAT_ENDS && c->f->ends[i]; i++) {
        const char *end = c->f->ends[i];
        out[*n] = hn_tokenizer_find(t, end, strlen(end));
        *n += out[*n] >= 0;
        if (i == 0 && !*n)
            return hn_fail(HN_ERR_FORMAT, "the tokenizer has no token '%s', which the chat format "
                           "%s needs", end, c->f->name);
    }
    return HN_OK;
}

hn_status hn_chat_take(hn_chat *c, hn_tokenizer *t, hn_ids *ids)
{
    const int64_t first = ids->n;
    int32_t end[HN_CHAT_ENDS];
    int n_end;
    HN_TRY(hn_chat_ends(c, t, end, &n_end));
    if (!c->taken && c->start_token)
        HN_TRY(hn_tokenizer_encode(t, "", 0, HN_ENCODE_START, ids));
    const hn_status s = hn_tokenizer_encode_parts(t, c->part + c->taken, c->n - c->taken, ids);
    if (s == HN_OK)
        c->taken = c->n;
    else
        ids->n = first;
    return s;
}
