// Recordings: libsndfile's blocks, mixed down to one channel and resampled as they come.
#include "hornito/audio.h"

#include "base/os.h"

#include <math.h>
#include <sndfile.h>
#include <soxr.h>
#include <stdio.h>
#include <string.h>

enum {
    LEAST_RATE = 1000,
    MOST_RATE = 768000,
    BLOCK = 1 << 15, // samples of all channels together that are read at a time
};

struct hn_audio {
    char *path;
    SNDFILE *file;
    soxr_t resampler; // NULL: the file has the rate asked for
    hn_audio_info info;
    char format[64];
    float *block;                     // [block_frames, channels] as read
    float *mono;                      // [block_frames]
    int64_t block_frames, at, n_mono; // mono[at .. n_mono) is yet to be given on
    int64_t n_read;                   // samples of one channel read so far
    bool ended;                       // the file gave its last sample
    bool flushed;                     // and the resampler too
};

static hn_status open_file(hn_audio *a)
{
    SF_INFO info = { 0 };
    SF_FORMAT_INFO format;

    a->file = sf_open(a->path, SFM_READ, &info);
    if (!a->file)
        return hn_fail(HN_ERR_FORMAT, "not a recording that can be read: %s", sf_strerror(NULL));
    if (info.samplerate < LEAST_RATE || info.samplerate > MOST_RATE)
        return hn_fail(HN_ERR_UNSUPPORTED, "%d samples a second; %d to %d can be read",
                       info.samplerate, LEAST_RATE, MOST_RATE);
    if (info.channels < 1 || info.channels > BLOCK)
        return hn_fail(HN_ERR_FORMAT, "%d channels", info.channels);
    format = (SF_FORMAT_INFO){ .format = info.format & SF_FORMAT_TYPEMASK };
    if (sf_command(NULL, SFC_GET_FORMAT_INFO, &format, sizeof format) == 0 && format.name)
        snprintf(a->format, sizeof a->format, "%s", format.name);
    const bool known = info.frames >= 0 && info.frames < SF_COUNT_MAX;
    a->info = (hn_audio_info){ .rate = info.samplerate,
                               .channels = info.channels,
                               .n_frames = known ? info.frames : -1,
                               .seconds = known ? (double)info.frames / info.samplerate : -1,
                               .format = a->format };
    return HN_OK;
}

static hn_status open_resampler(hn_audio *a, int rate)
{
    soxr_error_t error = NULL;
    const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);

    if (a->info.rate == rate)
        return HN_OK;
    a->resampler = soxr_create(a->info.rate, rate, 1, &error, &io, &quality, &runtime);
    if (!a->resampler)
        return hn_fail(HN_ERR_UNSUPPORTED, "no way from %d to %d samples a second: %s",
                       a->info.rate, rate, error ? error : "libsoxr does not say why");
    return HN_OK;
}

static hn_status start(hn_audio *a, const char *path, int rate)
{
    a->path = hn__calloc(strlen(path) + 1, 1);
    if (!a->path)
        return hn__nomem(strlen(path) + 1);
    memcpy(a->path, path, strlen(path));
    HN_TRY(open_file(a));
    HN_TRY(open_resampler(a, rate));
    a->block_frames = BLOCK / a->info.channels;
    a->block = hn__calloc((size_t)a->block_frames * (size_t)a->info.channels, sizeof *a->block);
    a->mono = hn__calloc((size_t)a->block_frames, sizeof *a->mono);
    return a->block && a->mono ? HN_OK : hn__nomem(BLOCK * sizeof *a->block);
}

// libsndfile has no words of its own for a file that is missing, a folder or empty.
static hn_status look(const char *path)
{
    hn__map map;
    HN_TRY(hn__map_open(path, &map));
    const size_t size = map.size;
    hn__map_close(&map);
    return size ? HN_OK : hn_fail(HN_ERR_FORMAT, "file '%s': empty", path);
}

hn_status hn_audio_open(const char *path, int rate, hn_audio **out)
{
    *out = NULL;
    HN_TRY(look(path));
    if (rate < LEAST_RATE || rate > MOST_RATE)
        return hn_fail(HN_ERR_ARG, "%d samples a second asked for; %d to %d can be made", rate,
                       LEAST_RATE, MOST_RATE);
    hn_audio *a = hn__calloc(1, sizeof *a);
    if (!a)
        return hn__nomem(sizeof *a);
    const hn_status s = start(a, path, rate);
    if (s)
        hn_audio_close(&a);
    *out = a;
    return hn_context(s, "file '%s'", path);
}

void hn_audio_close(hn_audio **a)
{
    if (!*a)
        return;
    if ((*a)->file)
        sf_close((*a)->file);
    soxr_delete((*a)->resampler);
    hn__free((*a)->block);
    hn__free((*a)->mono);
    hn__free((*a)->path);
    hn__free(*a);
    *a = NULL;
}

hn_audio_info hn_audio_get_info(const hn_audio *a)
{
    return a->info;
}

// Reads the next block of the file and averages its channels.
static hn_status fill(hn_audio *a)
{
    const int channels = a->info.channels;
    const sf_count_t n = sf_readf_float(a->file, a->block, a->block_frames);

    if (sf_error(a->file))
        return hn_fail(HN_ERR_FORMAT, "damaged after %.2f s: %s", (double)a->n_read / a->info.rate,
                       sf_strerror(a->file));
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int c = 0; c < channels; c++)
            sum += a->block[i * channels + c];
        if (!isfinite(sum))
            return hn_fail(HN_ERR_FORMAT, "the sample at %.4f s is not a finite number",
                           (double)(a->n_read + i) / a->info.rate);
        a->mono[i] = sum / (float)channels;
    }
    a->n_read += n;
    a->at = 0;
    a->n_mono = n > 0 ? n : 0;
    a->ended = n < a->block_frames;
    return HN_OK;
}

// Gives on what is there, at most n samples; *got is 0 where more must be read first.
static hn_status give(hn_audio *a, float *out, int64_t n, int64_t *got)
{
    const int64_t left = a->n_mono - a->at;
    size_t used = 0, made = 0;

    if (!a->resampler) {
        *got = left < n ? left : n;
        memcpy(out, a->mono + a->at, (size_t)*got * sizeof *out);
        a->at += *got;
        a->flushed = a->ended && a->at == a->n_mono;
        return HN_OK;
    }
    const bool last = a->ended && left == 0;
    const soxr_error_t error = soxr_process(a->resampler, last ? NULL : a->mono + a->at,
                                            (size_t)left, &used, out, (size_t)n, &made);
    if (error)
        return hn_fail(HN_ERR_NOMEM, "resampling: %s", error);
    a->at += (int64_t)used;
    *got = (int64_t)made;
    a->flushed = last && made == 0;
    return HN_OK;
}

hn_status hn_audio_read(hn_audio *a, float *out, int64_t n, int64_t *out_n)
{
    hn_status s = HN_OK;

    *out_n = 0;
    while (s == HN_OK && *out_n < n && !a->flushed) {
        int64_t got = 0;
        if (a->at == a->n_mono && !a->ended)
            s = fill(a);
        if (s == HN_OK)
            s = give(a, out + *out_n, n - *out_n, &got);
        *out_n += got;
    }
    return hn_context(s, "file '%s'", a->path);
}
