// What Whisper may say next: suppressed tokens and the rules of timestamps.
#include "nn/whisper_decode.h"

#include <math.h>

double hn__log_sum_exp(const float x[], int64_t n)
{
    float most = -INFINITY;
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    if (!(most > -INFINITY))
        return -INFINITY;
    for (int64_t i = 0; i < n; i++)
        sum += expf(x[i] - most);
    return most + log(sum);
}

static void forbid(float *logits, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        logits[i] = -INFINITY;
}

static void forbid_list(const hn__whisper_rules *r, const int32_t *list, int n, float *logits)
{
    for (int i = 0; i < n; i++)
        if (list[i] >= 0 && list[i] < r->vocab)
            logits[list[i]] = -INFINITY;
}

// Which timestamps may follow the last one said, and whether one or something else must come.
static void mask_order(const hn__whisper_rules *r, const int32_t *said, int64_t n, float *logits)
{
    const int32_t first = r->first_timestamp;
    const bool last = n >= 1 && said[n - 1] >= first;
    const bool before_last = n < 2 || said[n - 2] >= first;
    int64_t stamp = n - 1;

    if (last && before_last)
        forbid(logits, first, r->vocab); // a pair is complete
    else if (last)
        forbid(logits, 0, r->end); // a second one, or the end
    while (stamp >= 0 && said[stamp] < first)
        stamp--;
    if (stamp < 0)
        return;
    // Only the one that opens the next segment may repeat the last.
    const bool opens = last && !before_last;
    forbid(logits, first, said[stamp] + (opens ? 0 : 1));
}

// One of the timestamps must come where they are likelier together than any other token alone.
static void force_likely(const hn__whisper_rules *r, float *logits)
{
    float other = -INFINITY;

    for (int64_t i = 0; i < r->first_timestamp; i++)
        other = logits[i] > other ? logits[i] : other;
    if (hn__log_sum_exp(logits + r->first_timestamp, r->vocab - r->first_timestamp) > other)
        forbid(logits, 0, r->first_timestamp);
}

void hn__whisper_mask(const hn__whisper_rules *r, const int32_t said[], int64_t n, float logits[])
{
    forbid_list(r, r->never, r->n_never, logits);
    forbid_list(r, &r->no_timestamps, 1, logits);
    if (n == 0)
        forbid_list(r, r->not_first, r->n_not_first, logits);
    if (!r->timestamps)
        return;
    mask_order(r, said, n, logits);
    if (n == 0) {
        forbid(logits, 0, r->first_timestamp);
        forbid(logits, (int64_t)r->first_timestamp + r->latest_start + 1, r->vocab);
    }
    force_likely(r, logits);
}
