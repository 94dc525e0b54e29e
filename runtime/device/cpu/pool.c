// A team of threads that runs one loop at a time. A loop is cut into parts by its size alone, so that
// results do not depend on timing; the caller and the workers take parts until none is left. A
// worker that the system does not let run delays nothing but the part it is in. Workers spin briefly
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
    float *room; // HN__POOL_ROOM elements a thread
    worker workers[MAX_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int n_sleeping;
    atomic_uint_fast64_t open; // the number of the loop, times 256, plus the parts not yet taken
    atomic_int left;           // parts that are not done
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
    p->fn(p->ctx, begin, end, index);
}

// The number of the last loop.
static uint64_t loop_of(hn__pool *p)
{
    return atomic_load_explicit(&p->open, memory_order_acquire) / 256;
}

// Runs parts of this loop until none is left to take. The loop's fields stay as they are while a
// part of it is taken and not done, and a worker that comes late finds another number.
static void run_parts(hn__pool *p, uint64_t loop)
{
    uint_fast64_t at = atomic_load_explicit(&p->open, memory_order_acquire);
    while (at / 256 == loop && at % 256) {
        if (!atomic_compare_exchange_weak_explicit(&p->open, &at, at - 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        run_part(p, (int)(at % 256) - 1);
        atomic_fetch_sub_explicit(&p->left, 1, memory_order_release);
        at = atomic_load_explicit(&p->open, memory_order_acquire);
    }
}

static uint64_t wait_loop(hn__pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (loop_of(p) != seen)
            return loop_of(p);
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    p->n_sleeping++;
    while (loop_of(p) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    p->n_sleeping--;
    pthread_mutex_unlock(&p->lock);
    return loop_of(p);
}

static void *work(void *arg)
{
    worker *w = arg;
    hn__pool *p = w->pool;
    for (uint64_t seen = 0;;) {
        seen = wait_loop(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        run_parts(p, seen);
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
    const size_t bytes = (size_t)want * HN__POOL_ROOM * sizeof *p->room;
    p->n = 1;
    p->room = hn__alloc_aligned(bytes);
    if (!p->room) {
        hn__pool_destroy(&p);
        return hn__nomem(bytes);
    }
    for (; p->n < want; p->n++) {
        p->workers[p->n] = (worker){ .pool = p, .index = p->n };
        if (pthread_create(&p->workers[p->n].thread, NULL, work, &p->workers[p->n])) {
            hn__pool_destroy(&p);
            return hn_fail(HN_ERR_NOMEM, "cannot start %d threads", want);
        }
    }
    *out = p;
    return HN_OK;
}

// Opens the next loop, of so many parts.
static uint64_t start(hn__pool *p, int parts)
{
    const uint64_t loop = loop_of(p) + 1;
    pthread_mutex_lock(&p->lock);
    atomic_store_explicit(&p->open, loop * 256 + (uint64_t)parts, memory_order_release);
    if (p->n_sleeping)
        pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    return loop;
}

void hn__pool_destroy(hn__pool **p)
{
    if (!*p)
        return;
    atomic_store(&(*p)->stop, true);
    start(*p, 0);
    for (int i = 1; i < (*p)->n; i++)
        pthread_join((*p)->workers[i].thread, NULL);
    pthread_mutex_destroy(&(*p)->lock);
    pthread_cond_destroy(&(*p)->wake);
    hn__free_aligned((*p)->room);
    hn__free(*p);
    *p = NULL;
}

int hn__pool_threads(const hn__pool *p)
{
    return p->n;
}

float *hn__pool_room(const hn__pool *p, int thread)
{
    return p->room + (int64_t)thread * HN__POOL_ROOM;
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
    const int parts = (int)((n + part - 1) / part);
    p->fn = fn;
    p->ctx = ctx;
    p->count = n;
    p->part = part;
    atomic_store(&p->left, parts);
    run_parts(p, start(p, parts));
    // A worker that takes long may be waiting for this very processor.
    for (int i = 0; atomic_load_explicit(&p->left, memory_order_acquire); i++)
        if (i < SPINS)
            pause_cpu();
        else
            sched_yield();
}
