// Transcripts as they are written: times, lines, and what would be taken for markup.
#include "support/check.h"
#include "support/folder.h"

#include "transcript.h"

#include "app.h"

#include <stdlib.h>
#include <string.h>

const app_command app_commands[] = { { NULL, NULL, NULL, NULL, NULL } };

static const int32_t ids[] = { 50364, 7, 50414 };
static const hn_segment segments[] = {
    { .start = 0, .end = 1.02, .text = " One & two <b>\nthree --> four", .ids = ids, .n_ids = 3 },
    { .start = 3599.9996, .end = 7384.25, .text = " B\xc3\xa4r \"x\"", .ids = ids, .n_ids = 1 },
};

static const char *written(transcript_format format, bool lines)
{
    static char text[2048];
    const char *path = folder_path("made");
    transcript t;
    hn__map map;
    CHECK_OK(transcript_begin(&t, format, path, false));
    t.lines = lines;
    for (int i = 0; i < 2; i++)
        transcript_add(&t, &segments[i]);
    CHECK(!hn__exists(path), "the file is there before its end");
    CHECK_OK(
        transcript_end(&t, format == TRANSCRIPT_JSON ? json_pack("{s:s}", "file", "a") : NULL));
    CHECK_OK(hn__map_open(path, &map));
    CHECK(map.size < sizeof text, "%zu bytes", map.size);
    memcpy(text, map.data, map.size);
    text[map.size] = 0;
    hn__map_close(&map);
    CHECK_OK(hn__remove_all(path));
    return text;
}

static void expect(const char *got, const char *want)
{
    CHECK(!strcmp(got, want), "got\n%s\nwant\n%s", got, want);
}

static void check_formats(void **state)
{
    (void)state;
    expect(written(TRANSCRIPT_TXT, false), "One & two <b> three --> four B\xc3\xa4r \"x\"\n");
    expect(written(TRANSCRIPT_TXT, true), "One & two <b> three --> four\nB\xc3\xa4r \"x\"\n");
    expect(written(TRANSCRIPT_SRT, false),
           "1\n00:00:00,000 --> 00:00:01,020\nOne & two <b> three -- > four\n\n"
           "2\n01:00:00,000 --> 02:03:04,250\nB\xc3\xa4r \"x\"\n\n");
    expect(written(TRANSCRIPT_VTT, false),
           "WEBVTT\n\n00:00:00.000 --> 00:00:01.020\nOne &amp; two &lt;b&gt; three --&gt; four\n\n"
           "01:00:00.000 --> 02:03:04.250\nB\xc3\xa4r \"x\"\n\n");
    json_t *o = json_loads(written(TRANSCRIPT_JSON, false), 0, NULL);
    CHECK(o, "no JSON");
    const json_t *first = json_array_get(json_object_get(o, "segments"), 0);
    expect(json_string_value(json_object_get(o, "text")),
           "One & two <b>\nthree --> four B\xc3\xa4r \"x\"");
    expect(json_string_value(json_object_get(o, "file")), "a");
    CHECK(json_array_size(json_object_get(first, "tokens")) == 3 &&
              json_real_value(json_object_get(first, "end")) == 1.02,
          "the first segment is another");
    json_decref(o);
}

static void check_abort(void **state)
{
    const char *path = folder_path("made");
    transcript t;
    (void)state;
    CHECK_OK(transcript_begin(&t, TRANSCRIPT_SRT, path, true));
    transcript_add(&t, &segments[0]);
    transcript_abort(&t);
    CHECK(!hn__exists(path), "something is left");
    CHECK_FAILS(transcript_begin(&t, TRANSCRIPT_SRT, folder_path("no/such"), true), HN_ERR_IO);
    transcript_abort(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_formats),
        cmocka_unit_test(check_abort),
    };
    folder_make("transcript");
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    folder_remove();
    return failed;
}
