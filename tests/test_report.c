// The HTML report: what a caller gives stays text, numbers stay JSON, the file is whole or absent.
#include "report.h"
#include "support/check.h"
#include "support/failing.h"
#include "support/folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"

static const char hostile[] = "</script><script>alert(1)</script><!-- \"quoted\" & 'so' \\";

static void add_all(report *r)
{
    const double x[] = { 0, 1, 10, 100 }, y[] = { 1.5, NAN, 2.5, INFINITY };
    const char *const words[] = { hostile, "12", "1.5 ms", "4 x 4", NULL, "7" };
    const char *const names[] = { hostile, "two" };
    const report_series s[] = { { hostile, x, y, 4, false }, { "faint", x, x, 4, true } };

    report_section(r, hostile);
    report_text(r, "%s", hostile);
    report_pairs(r, (report_pair[]){ { hostile, hostile }, { "none", NULL } }, 2);
    report_table(r, names, 2, words, 3);
    report_line_chart(r, &(report_lines){ hostile, hostile, hostile, true, false, s, 2 });
    report_bar_chart(r, &(report_bars){ hostile, hostile, names, 2, names, 2, y });
}

static hn_status write_page(void *user)
{
    report *r = report_create(hostile, hostile);
    add_all(r);
    const hn_status s = report_write(r, user);
    report_destroy(&r);
    return s;
}

// The page's text; freed by free.
static char *read_page(const char *path)
{
    hn__map m = { 0 };
    CHECK_OK(hn__map_open(path, &m));
    char *text = calloc(m.size + 1, 1);
    CHECK(text, "no memory");
    memcpy(text, m.data, m.size);
    hn__map_close(&m);
    return text;
}

static int count(const char *text, const char *word)
{
    int n = 0;
    while ((text = strstr(text, word))) {
        n++;
        text += strlen(word);
    }
    return n;
}

static void check_escaping(void **state)
{
    (void)state;
    folder_make("report");
    const char *path = folder_path("page.html");
    CHECK_OK(write_page((void *)(uintptr_t)path));
    char *page = read_page(path);
    CHECK(!strstr(page, "<script>alert"), "a text became a script");
    CHECK(count(page, "</script>") == 3, "%d ends of scripts, 3 are ours",
          count(page, "</script>"));
    CHECK(strstr(page, "&lt;/script&gt;&lt;script&gt;alert(1)"), "the title is not there as text");
    CHECK(strstr(page, "\\u003c/script\\u003e"), "the charts' texts are not escaped");
    CHECK(!strstr(page, " src=") && !strstr(page, "@import"), "the page fetches something");
    free(page);
    folder_remove();
}

static void check_numbers(void **state)
{
    (void)state;
    folder_make("report");
    const char *path = folder_path("page.html");
    CHECK_OK(write_page((void *)(uintptr_t)path));
    char *page = read_page(path);
    CHECK(strstr(page,
                 "\"points\":[{\"x\":1,\"y\":null},{\"x\":10,\"y\":2.5},{\"x\":100,\"y\":null}]"),
          "gaps are null, and 0 has no place on a logarithmic axis");
    CHECK(strstr(page, "\"values\":[1.5,null]"), "a bar that is no number is null");
    CHECK(strstr(page, "<td class=\"number\">12</td>"), "numbers stand to the right");
    CHECK(!strstr(page, "<td class=\"number\">1.5 ms</td>"),
          "a column with words stands to the left");
    free(page);
    folder_remove();
}

static void check_allocations(void **state)
{
    (void)state;
    folder_make("report");
    const char *path = folder_path("page.html");
    const long n = failing_allocations("a report", write_page, (void *)(uintptr_t)path);
    CHECK(n > 5, "only %ld allocations were seen", n);
    folder_remove();
}

static void check_whole_or_absent(void **state)
{
    (void)state;
    folder_make("report");
    const char *path = folder_path("missing/page.html");
    CHECK_FAILS(write_page((void *)(uintptr_t)path), HN_ERR_IO);
    CHECK(strstr(hn_error_text(), "missing"), "the text does not name the place: %s",
          hn_error_text());
    folder_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_escaping),
        cmocka_unit_test(check_numbers),
        cmocka_unit_test(check_allocations),
        cmocka_unit_test(check_whole_or_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
