// Inside nn/: what the files of Whisper share.
#ifndef HN_NN_WHISPER_H
#define HN_NN_WHISPER_H

#include "hornito/whisper.h"
#include "io/json.h"
#include "ir/ir.h"

// The configuration from config.json's object; `where` comes first in an error text.
hn_status hn__whisper_config_read(const json_t *o, const char *where, hn_whisper_config *out);

#endif
