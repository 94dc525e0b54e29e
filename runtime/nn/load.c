#include "nn/load.h"

#include "plan/build.h"

enum { PIECE = 1 << 20 }; // elements converted at a time, or a row where that is more

// The tensor, a piece at a time, as the weight's type into its buffer. A tensor whose rows change
// places is one piece.
static hn_status convert(const hn_tensor *t, const hn_type *type, hn_buffer *to)
{
    const bool whole = t->paired_heads || t->transposed || !t->rank;
    const int64_t n = whole ? 1 : t->dim[0];
    const int64_t row = hn_type_bytes(type) / n, row_bytes = t->n_bytes / n;
    const int64_t elements = hn__numel(type) / n, most = elements < PIECE ? PIECE / elements : 1;
    const int64_t rows = most < n ? most : n;
    void *data = hn__calloc((size_t)rows, (size_t)row);
    hn_status s = data ? HN_OK : hn__nomem((size_t)(rows * row));

    for (int64_t at = 0; s == HN_OK && at < n; at += rows) {
        const int64_t m = n - at < rows ? n - at : rows;
        hn_tensor part = *t;
        if (!whole) {
            part.dim[0] = m;
            part.data = (const char *)t->data + at * row_bytes;
            part.n_bytes = m * row_bytes;
        }
        s = hn_tensor_read(&part, type->dtype, data);
        if (s == HN_OK)
            s = hn_buffer_write(to, at * row, data, m * row);
    }
    hn__free(data);
    return s;
}

hn_status hn__load_weight(hn_weights *w, const char *name, const hn_tensor *t, const hn_type *type,
                          bool trainable)
{
    const bool as_it_lies = t->dtype == type->dtype && !t->paired_heads && !t->transposed;
    hn_type have;
    char a[128], b[128];

    HN_TRY(hn_tensor_type(t, &have));
    if (!hn__shape_equal(&have, type))
        return hn_fail(HN_ERR_FORMAT, "tensor '%s' is %s, the configuration wants %s", name,
                       hn__type_text(&have, a, sizeof a), hn__type_text(type, b, sizeof b));
    HN_TRY(hn_weights_put(w, name, *type, trainable));
    const hn_status s = as_it_lies ? hn_weights_write(w, name, t->data, hn_type_bytes(type))
                                   : convert(t, type, hn__weights_buffer(w, name, type));
    return hn_context(s, "tensor '%s'", name);
}
