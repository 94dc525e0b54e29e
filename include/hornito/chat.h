// Conversations: the formats of text that language models were tuned on, as data in a table,
// chosen from the template that a model's files carry.
//
// A template is a program (Jinja); it is not run. Which of the known formats it writes is found by
// marks in its text, and what is not known is refused. Special tokens come from the format only:
// what people write is encoded as text, whatever it says.
#ifndef HORNITO_CHAT_H
#define HORNITO_CHAT_H

#include "hornito/io.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hn_chat_role { HN_CHAT_SYSTEM, HN_CHAT_USER, HN_CHAT_ASSISTANT } hn_chat_role;

// A conversation as it grows. One thread at a time.
typedef struct hn_chat hn_chat;

// The names of the formats; NULL where i is no index: "chatml", "llama3.1", "llama3", "llama2",
// "mistral-v1", "mistral", "mistral-v3", "mistral-nemo", "zephyr".
HN_API const char *hn_chat_format_name(int i);

// A conversation in a format by name, or (NULL) the one that jinja, a template's text, writes. Of
// a ChatML template also the system message that it puts where a conversation has none is taken.
// Either may be NULL. Errors: ARG for a name that is not known, or where both are NULL;
// UNSUPPORTED for a template that is not known. All texts list the names. NOMEM.
HN_API hn_status hn_chat_create(const char *format, const char *jinja, hn_chat **out);
HN_API void hn_chat_destroy(hn_chat **c);
// The name of its format.
HN_API const char *hn_chat_format(const hn_chat *c);

// Adds a message of n bytes, copied. At most one of the system, first; then the user's and the
// assistant's in turn. Errors: ARG for another order; NOMEM.
HN_API hn_status hn_chat_add(hn_chat *c, hn_chat_role role, const void *text, size_t n);
// After a message of the user: what stands before an answer, so that the model writes one.
HN_API hn_status hn_chat_open_answer(hn_chat *c);
// All that the conversation is so far; *out lives until the next call that adds.
HN_API int64_t hn_chat_parts(const hn_chat *c, const hn_text_part **out);

// Appends the tokens of what was added since the last call. An answer that is added after
// hn_chat_open_answer and this is taken for the model's own, which has its tokens already: only
// what ends it follows. Errors: FORMAT where the tokenizer lacks a token of the format; those of
// hn_tokenizer_encode.
HN_API hn_status hn_chat_take(hn_chat *c, hn_tokenizer *t, hn_ids *ids);
enum { HN_CHAT_ENDS = 2 };
// The tokens that end an answer in this format, at most HN_CHAT_ENDS, and how many. Errors: FORMAT
// where the tokenizer lacks the first.
HN_API hn_status hn_chat_ends(const hn_chat *c, const hn_tokenizer *t, int32_t out[], int *n);

#ifdef __cplusplus
}
#endif
#endif
