// POSIX: files mapped and replaced, folders, clocks.
#define _DEFAULT_SOURCE
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

uint64_t hn__now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int hn__cpu_count(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}

hn_status hn__map_open(const char *path, hn__map *out)
{
    *out = (hn__map){ 0 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hn_fail(HN_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    struct stat st;
    hn_status s = HN_OK;
    if (fstat(fd, &st))
        s = hn_fail(HN_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        s = hn_fail(HN_ERR_IO, "cannot read '%s': not a file", path);
    else if (st.st_size == 0)
        *out = (hn__map){ (const uint8_t *)"", 0 };
    else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = hn_fail(HN_ERR_IO, "cannot map '%s': %s", path, strerror(errno));
        else
            *out = (hn__map){ p, (size_t)st.st_size };
    }
    close(fd);
    return s;
}

void hn__map_close(hn__map *m)
{
    if (m->size)
        munmap((void *)(uintptr_t)m->data, m->size);
    *m = (hn__map){ 0 };
}

void hn__map_release(const hn__map *m, const void *data, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), base = (uintptr_t)m->data;
    const uintptr_t from = (uintptr_t)data, to = from + n;

    if (!m->size || from < base || to > base + m->size)
        return;
    const uintptr_t first = from - from % page, last = to - to % page;
    if (first < last) // the page where the next part begins stays
        (void)madvise((void *)first, last - first, MADV_DONTNEED);
}

char *hn__path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir) + strlen(name) + 2;
    char *p = hn__calloc(n, 1);
    if (p)
        snprintf(p, n, "%s/%s", dir, name);
    return p;
}

hn_status hn__newfile_open(const char *path, hn__newfile *out)
{
    *out = (hn__newfile){ 0 };
    const size_t n = strlen(path) + 32;
    out->path = hn__calloc(n, 1);
    out->tmp = hn__calloc(n, 1);
    if (!out->path || !out->tmp) {
        hn__newfile_abort(out);
        return hn__nomem(n);
    }
    snprintf(out->path, n, "%s", path);
    snprintf(out->tmp, n, "%s.tmp-%ld", path, (long)getpid());
    out->f = fopen(out->tmp, "wb");
    if (!out->f) {
        const hn_status s = hn_fail(HN_ERR_IO, "cannot create '%s': %s", path, strerror(errno));
        hn__free(out->tmp);
        out->tmp = NULL;
        hn__newfile_abort(out);
        return s;
    }
    return HN_OK;
}

hn_status hn__newfile_write(hn__newfile *f, const void *data, size_t n)
{
    if (n && fwrite(data, 1, n, f->f) != n)
        return hn_fail(HN_ERR_IO, "cannot write '%s': %s", f->path, strerror(errno));
    return HN_OK;
}

// The folder that a path stands in, for syncing after a rename; -1 where it cannot be opened. It
// is asked for before the rename, so that what fails leaves everything as it was.
static hn_status open_parent(const char *path, int *fd)
{
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 1;
    char *dir = hn__calloc(n + 1, 1);
    *fd = -1;
    if (!dir)
        return hn__nomem(n);
    memcpy(dir, slash ? path : ".", n);
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    hn__free(dir);
    return HN_OK;
}

static void sync_parent(int fd)
{
    if (fd < 0)
        return;
    fsync(fd); // a file system that cannot sync a folder keeps the file all the same
    close(fd);
}

hn_status hn__newfile_commit(hn__newfile *f)
{
    hn_status s = HN_OK;
    if (fflush(f->f) || fsync(fileno(f->f)))
        s = hn_fail(HN_ERR_IO, "cannot write '%s': %s", f->path, strerror(errno));
    if (fclose(f->f) && s == HN_OK)
        s = hn_fail(HN_ERR_IO, "cannot write '%s': %s", f->path, strerror(errno));
    f->f = NULL;
    int parent = -1;
    if (s == HN_OK)
        s = open_parent(f->path, &parent);
    if (s == HN_OK && rename(f->tmp, f->path))
        s = hn_fail(HN_ERR_IO, "cannot replace '%s': %s", f->path, strerror(errno));
    if (s == HN_OK) {
        hn__free(f->tmp);
        f->tmp = NULL;
    }
    sync_parent(parent);
    hn__newfile_abort(f);
    return s;
}

void hn__newfile_abort(hn__newfile *f)
{
    if (f->f)
        fclose(f->f);
    if (f->tmp)
        unlink(f->tmp);
    hn__free(f->path);
    hn__free(f->tmp);
    *f = (hn__newfile){ 0 };
}

hn_status hn__mkdirs(const char *path)
{
    char *p = hn__path_join(path, "");
    if (!p)
        return hn__nomem(strlen(path));
    hn_status s = HN_OK;
    for (char *c = p + 1; *c && s == HN_OK; c++) {
        if (*c != '/')
            continue;
        *c = 0;
        if (mkdir(p, 0777) && errno != EEXIST)
            s = hn_fail(HN_ERR_IO, "cannot make folder '%s': %s", p, strerror(errno));
        *c = '/';
    }
    hn__free(p);
    if (s == HN_OK && !hn__is_dir(path))
        s = hn_fail(HN_ERR_IO, "cannot make folder '%s': a file has this name", path);
    return s;
}

hn_status hn__rename(const char *from, const char *to)
{
    int parent;
    HN_TRY(open_parent(to, &parent));
    const hn_status s = rename(from, to) ? hn_fail(HN_ERR_IO, "cannot rename '%s' to '%s': %s",
                                                   from, to, strerror(errno))
                                         : HN_OK;
    sync_parent(parent);
    return s;
}

hn_status hn__remove_all(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT
                   ? HN_OK
                   : hn_fail(HN_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        DIR *d = opendir(path);
        if (!d)
            return hn_fail(HN_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
        hn_status s = HN_OK;
        for (struct dirent *e; s == HN_OK && (e = readdir(d));) {
            if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
                continue;
            char *child = hn__path_join(path, e->d_name);
            s = child ? hn__remove_all(child) : hn__nomem(strlen(path));
            hn__free(child);
        }
        closedir(d);
        HN_TRY(s);
    }
    if (remove(path))
        return hn_fail(HN_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
    return HN_OK;
}

hn_status hn__list(const char *dir, hn_status (*each)(void *user, const char *name), void *user)
{
    DIR *d = opendir(dir);
    if (!d)
        return hn_fail(HN_ERR_IO, "cannot read folder '%s': %s", dir, strerror(errno));
    hn_status s = HN_OK;
    for (struct dirent *e; s == HN_OK && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            s = each(user, e->d_name);
    closedir(d);
    return s;
}

hn_status hn__sync(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hn_fail(HN_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    hn_status s = HN_OK;
    // A file system that cannot sync a folder says EINVAL, and keeps it all the same.
    if (fsync(fd) && errno != EINVAL)
        s = hn_fail(HN_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    close(fd);
    return s;
}

bool hn__exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool hn__is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
