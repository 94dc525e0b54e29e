// A team of threads that runs one loop at a time. The caller is thread 0. Workers spin briefly
// between loops of one plan, then sleep, so that a waiting process costs nothing.
#include "device/device.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { MAX_THREADS = 64, SPINS = 4000 };

typedef struct worker {
    hn__pool *pool;
    int index;
    pthread_t thread;
} worker;

struct hn__pool {
    int n;
    worker workers[MAX_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int n_sleeping;
    atomic_uint turn;    // counts loops
    atomic_int left;     // workers still in the loop
    atomic_bool stop;
    // the loop
    hn__range_fn fn;
    void *ctx;
    int64_t count, part;
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void run_part(hn__pool *p, int index)
{
    const int64_t begin = p->part * index;
    const int64_t end = begin + p->part < p->count ? begin + p->part : p->count;
    if (begin < end)
        p->fn(p->ctx, begin, end, index);
}

static unsigned wait_turn(hn__pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&p->turn, memory_order_acquire) != seen)
            return atomic_load(&p->turn);
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    p->n_sleeping++;
    while (atomic_load(&p->turn) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    p->n_sleeping--;
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->turn);
}

static void *work(void *arg)
{
    worker *w = arg;
    hn__pool *p = w->pool;
    for (unsigned seen = 0;;) {
        seen = wait_turn(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        run_part(p, w->index);
        atomic_fetch_sub_explicit(&p->left, 1, memory_order_release);
    }
}

hn_status hn__pool_create(int n_threads, hn__pool **out)
{
    *out = NULL;
    hn__pool *p = hn__calloc(1, sizeof *p);
    if (!p)
        return hn__nomem(sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    const int want = n_threads < 1 ? 1 : n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
    for (p->n = 1; p->n < want; p->n++) {
        p->workers[p->n] = (worker){ .pool = p, .index = p->n };
        if (pthread_create(&p->workers[p->n].thread, NULL, work, &p->workers[p->n])) {
            hn__pool_destroy(&p);
            return hn_fail(HN_ERR_NOMEM, "cannot start %d threads", want);
        }
    }
    *out = p;
    return HN_OK;
}

static void start(hn__pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add_explicit(&p->turn, 1, memory_order_release);
    if (p->n_sleeping)
        pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void hn__pool_destroy(hn__pool **p)
{
    if (!*p)
        return;
    atomic_store(&(*p)->stop, true);
    start(*p);
    for (int i = 1; i < (*p)->n; i++)
        pthread_join((*p)->workers[i].thread, NULL);
    pthread_mutex_destroy(&(*p)->lock);
    pthread_cond_destroy(&(*p)->wake);
    hn__free(*p);
    *p = NULL;
}

int hn__pool_threads(const hn__pool *p)
{
    return p->n;
}

void hn__parallel(hn__pool *p, int64_t n, int64_t grain, hn__range_fn fn, void *ctx)
{
    const int64_t least = grain > 1 ? grain : 1;
    const int64_t even = (n + p->n - 1) / p->n;
    const int64_t part = even > least ? even : least;

    if (n <= 0)
        return;
    if (p->n == 1 || part >= n) {
        fn(ctx, 0, n, 0);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->count = n;
    p->part = part;
    atomic_store(&p->left, p->n - 1);
    start(p);
    run_part(p, 0);
    // A worker that takes long may be waiting for this very processor.
    for (int i = 0; atomic_load_explicit(&p->left, memory_order_acquire); i++)
        if (i < SPINS)
            pause_cpu();
        else
            sched_yield();
}
