// The tuning table's file: what is written is read; what is torn, damaged, foreign or hostile is
// refused in words and adds nothing.
#include "support/check.h"
#include "support/folder.h"

#include "base/os.h"
#include "device/tuning.h"

#include <stdlib.h>
#include <string.h>

static hn__tuning *table(const char *name, const char *driver, const char *path)
{
    hn__tuning *t;
    CHECK_OK(hn__tuning_create(name, driver, path, &t));
    return t;
}

static void fill(hn__tuning *t)
{
    const hn__tuning_row rows[] = {
        { .kind = HN__RIGHT, .code = 1, .what = "softmax", .variant = "softmax" },
        { .kind = HN__WRONG, .code = 2, .what = "matmul", .variant = "matmul 16 16",
          .why = "output 0:\ta tab,\nand a line" },
        { .kind = HN__BEST, .code = 3, .what = "matmul f32[64, 64] f32[64, 64] =k",
          .variant = "matmul 8 8", .us = 12.5, .default_us = 20 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_OK(hn__tuning_put(t, &rows[i]));
}

static void check_same(const hn__tuning *t)
{
    CHECK(hn__tuning_count(t) == 3, "%d rows", (int)hn__tuning_count(t));
    const hn__tuning_row *wrong = hn__tuning_at(t, 1), *best = hn__tuning_at(t, 2);
    CHECK(wrong->kind == HN__WRONG && wrong->code == 2, "row 1 is another");
    CHECK(!strcmp(wrong->why, "output 0: a tab, and a line"), "'%s'", wrong->why);
    CHECK(best->kind == HN__BEST && fabs(best->us - 12.5) < 1e-9 && fabs(best->default_us - 20) < 1e-9,
          "row 2: %g of %g", best->us, best->default_us);
    CHECK(!strcmp(best->variant, "matmul 8 8"), "'%s'", best->variant);
}

static void check_round(void **state)
{
    (void)state;
    folder_make("tuning");
    const char *path = folder_path("table.txt");
    hn__tuning *t = table("card", "driver 1", path);
    fill(t);
    hn__tuning_destroy(&t); // writes it
    t = table("card", "driver 1", path);
    check_same(t);
    fill(t); // the same rows again replace themselves
    check_same(t);
    hn__tuning_destroy(&t);
    folder_remove();
}

static void check_other_driver(void **state)
{
    (void)state;
    folder_make("tuning");
    const char *path = folder_path("table.txt");
    hn__tuning *t = table("card", "driver 1", NULL);
    fill(t);
    CHECK_OK(hn__tuning_save(t, path));
    hn__tuning_destroy(&t);

    t = table("card", "driver 2", NULL); // what was fastest, but no verdicts
    CHECK_OK(hn__tuning_load(t, path));
    CHECK(hn__tuning_count(t) == 1 && hn__tuning_at(t, 0)->kind == HN__BEST, "%d rows",
          (int)hn__tuning_count(t));
    hn__tuning_destroy(&t);

    t = table("another card", "driver 1", NULL);
    CHECK_FAILS(hn__tuning_load(t, path), HN_ERR_ARG);
    CHECK(strstr(hn_error_text(), "is of 'card'"), "%s", hn_error_text());
    CHECK(hn__tuning_count(t) == 0, "rows of another card");
    hn__tuning_destroy(&t);
    folder_remove();
}

static char *read_all(const char *path, size_t *n)
{
    hn__map m;
    CHECK_OK(hn__map_open(path, &m));
    char *copy = malloc(m.size + 1);
    memcpy(copy, m.data, m.size);
    *n = m.size;
    hn__map_close(&m);
    return copy;
}

// The file cut at every length, and with every byte changed, is refused or gives the same rows.
static void check_damage(void **state)
{
    (void)state;
    folder_make("tuning");
    const char *path = folder_path("table.txt");
    hn__tuning *t = table("card", "driver 1", NULL);
    size_t n;
    fill(t);
    CHECK_OK(hn__tuning_save(t, path));
    hn__tuning_destroy(&t);
    char *whole = read_all(path, &n);

    for (size_t at = 0; at < 2 * n; at++) {
        char *bad = malloc(n);
        memcpy(bad, whole, n);
        if (at >= n)
            bad[at - n] = (char)(bad[at - n] ^ 1);
        folder_put("table.txt", bad, at < n ? at : n);
        free(bad);
        t = table("card", "driver 1", NULL);
        const hn_status s = hn__tuning_load(t, path);
        CHECK(s == HN_ERR_FORMAT || (at == 0 && s == HN_ERR_IO),
              "%s at %d gave %s", at < n ? "cut" : "changed", (int)(at % n), hn_status_name(s));
        CHECK(hn__tuning_count(t) == 0, "rows of a damaged file");
        hn__tuning_destroy(&t);
        t = table("card", "driver 1", path); // as a cache it is ignored
        CHECK(hn__tuning_count(t) == 0, "rows of a damaged cache");
        hn__tuning_destroy(&t);
    }
    free(whole);
    folder_remove();
}

// Rows that are whole by their hash, and not legal.
static void check_hostile(void **state)
{
    static const char *const rows[] = {
        "best\t0000000000000001\tmatmul\tmatmul 8 8\t-1\t20\n",
        "best\t0000000000000001\tmatmul\tmatmul 8 8\tnan\t20\n",
        "best\t0000000000000001\tmatmul\tmatmul 8 8\t1\n",
        "right\t1\tsoftmax\tsoftmax\n",
        "right\t0000000000000001\tsoftmax\n",
        "right\t0000000000000001\tsoftmax\tsoftmax\tmore\n",
        "fastest\t0000000000000001\tsoftmax\tsoftmax\n",
        "\n",
        "a\tb\tc\td\te\tf\tg\th\n",
    };
    (void)state;
    folder_make("tuning");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const lines[] = { "hornito tuning 1\n", "driver\tcard\tdriver 1\n", rows[i] };
        char text[512];
        uint64_t hash = 0;
        int at = 0;
        for (int k = 0; k < 3; k++) {
            hash = hn__hash(lines[k], strlen(lines[k]), hash);
            at += snprintf(text + at, sizeof text - (size_t)at, "%s", lines[k]);
        }
        at += snprintf(text + at, sizeof text - (size_t)at, "end\t%016" PRIx64 "\n", hash);
        hn__tuning *t = table("card", "driver 1", NULL);
        CHECK_FAILS(hn__tuning_load(t, folder_put("bad.txt", text, (size_t)at)), HN_ERR_FORMAT);
        CHECK(strstr(hn_error_text(), "line 3"), "%s", hn_error_text());
        hn__tuning_destroy(&t);
    }
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_round), cmocka_unit_test(check_other_driver),
        cmocka_unit_test(check_damage), cmocka_unit_test(check_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
