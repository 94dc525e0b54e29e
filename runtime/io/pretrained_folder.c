// A Hugging Face folder: config.json with safetensors, and what lies beside them.
#include "io/pretrained.h"

#include <string.h>

// "license: mit" in the block of settings that a model's README.md begins with.
static hn_status read_license(hn_pretrained *p, const char *dir)
{
    bool here;
    HN_TRY(hn__pretrained_has(dir, "README.md", &here));
    if (!here || p->license)
        return HN_OK;
    char *path = hn__path_join(dir, "README.md"), line[256];
    FILE *f = path ? fopen(path, "r") : NULL;
    hn_status s = path ? HN_OK : hn__nomem(strlen(dir));
    hn__free(path);
    bool head = f && fgets(line, sizeof line, f) && !strncmp(line, "---", 3);
    for (int i = 0; head && i < 4096 && fgets(line, sizeof line, f); i++) {
        head = strncmp(line, "---", 3) != 0;
        if (strncmp(line, "license:", 8) != 0)
            continue;
        char *word = line + 8 + strspn(line + 8, " \t\"'");
        const size_t n = strcspn(word, " \t\"'\r\n");
        if (n)
            s = hn__pretrained_text(word, n, &p->license);
        head = false;
    }
    if (f)
        fclose(f);
    return s;
}

// A text, or a list of named ones, of which "default" is meant.
static hn_status read_template(hn_pretrained *p, const char *dir)
{
    const json_t *t = json_object_get(p->tokenizer_config, "chat_template"), *v;
    const char *text = json_string_value(t);
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)t, i, v) {
        const char *name = json_string_value(json_object_get(v, "name"));
        if (name && !strcmp(name, "default"))
            text = json_string_value(json_object_get(v, "template"));
    }
    if (text)
        return hn__pretrained_text(text, strlen(text), &p->chat_template);

    bool here;
    hn__map m = { 0 };
    HN_TRY(hn__pretrained_has(dir, "chat_template.jinja", &here));
    if (!here)
        return HN_OK;
    char *path = hn__path_join(dir, "chat_template.jinja");
    hn_status s = path ? hn__map_open(path, &m) : hn__nomem(strlen(dir));
    if (s == HN_OK && (m.size > 1 << 20 || memchr(m.data, 0, m.size)))
        s = hn_fail(HN_ERR_FORMAT, "file '%s': no text of at most 1 MiB", path);
    if (s == HN_OK)
        s = hn__pretrained_text((const char *)m.data, m.size, &p->chat_template);
    hn__map_close(&m);
    hn__free(path);
    return s;
}

static hn_status find_tokenizer(hn_pretrained *p, const char *dir)
{
    static const char *const names[] = { "tokenizer.json", "vocab.json", "encoder.json" };
    bool here = false;
    for (size_t i = 0; !here && i < sizeof names / sizeof *names; i++)
        HN_TRY(hn__pretrained_has(dir, names[i], &here));
    return here ? hn__pretrained_text(dir, strlen(dir), &p->tokenizer_path) : HN_OK;
}

hn_status hn__pretrained_read_beside(hn_pretrained *p, const char *dir)
{
    HN_TRY(hn__pretrained_json(dir, "generation_config.json", false, &p->generation));
    HN_TRY(hn__pretrained_json(dir, "tokenizer_config.json", false, &p->tokenizer_config));
    HN_TRY(read_template(p, dir));
    HN_TRY(find_tokenizer(p, dir));
    return read_license(p, dir);
}

hn_status hn__pretrained_read_folder(hn_pretrained *p, const char *dir)
{
    HN_TRY(hn__pretrained_text("safetensors", 11, &p->format));
    HN_TRY(hn__pretrained_json(dir, "config.json", false, &p->config));
    HN_TRY(hn_tensors_open(dir, &p->files));
    p->tensors = p->files;
    HN_TRY(hn__pretrained_read_beside(p, dir));
    const char *type = hn_pretrained_model_type(p);
    return type && !strcmp(type, "whisper") ? hn__pretrained_whisper(p, dir) : HN_OK;
}
