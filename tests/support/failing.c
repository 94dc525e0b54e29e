// Every allocation of a piece of work made to fail in turn.
#include "support/failing.h"
#include "support/check.h"

#include <stdlib.h>

typedef struct count {
    long n, fail, live;
} count;

static void *resize(void *user, void *p, size_t n)
{
    count *c = user;
    if (n == 0) {
        c->live -= p != NULL;
        free(p);
        return NULL;
    }
    if (++c->n == c->fail)
        return NULL;
    void *q = realloc(p, n);
    c->live += q && !p;
    return q;
}

long failing_allocations(const char *what, hn_status (*work)(void *user), void *user)
{
    count c = { 0 };
    const hn_allocator a = { resize, &c };
    hn_set_allocator(&a);
    hn_status s = HN_OK;
    for (c.fail = 1; c.n >= c.fail - 1; c.fail++) {
        c.n = 0;
        s = work(user);
        if ((s != HN_OK && s != HN_ERR_NOMEM) || c.live || c.n < c.fail)
            break;
    }
    hn_set_allocator(NULL);
    CHECK(s == HN_OK && c.live == 0, "%s, allocation %ld failing: %s, %ld left: %s", what, c.fail,
          hn_status_name(s), c.live, hn_error_text());
    return c.n;
}
