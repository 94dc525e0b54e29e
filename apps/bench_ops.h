// hornito bench ops: what its files share.
#ifndef HORNITO_BENCH_OPS_H
#define HORNITO_BENCH_OPS_H

#include "bench.h"
#include "bench_peaks.h"
#include "bench_shapes.h"

#include "hornito/plan.h"

typedef struct ops_result {
    const bench_shape *shape;
    double seconds[BENCH_MOST_REPEATS];
    bench_stats wall;
    double device_s;   // of all steps by the device's own clock; negative: unsupported
    double bytes;      // read and written
    double roof_s;     // the least a device with the peaks measured here can take; 0: not known
    double of_forward; // dx and dw: the forward product's time by this one's; 0: not measured
    double error;      // against the reference
    int64_t n_checked, n_outputs; // elements compared, and of all outputs
    json_t *kernels;   // what the driver's compiler says of them; NULL: nothing
    char failed[512];  // why there is no figure; empty where there is one
} ops_result;

typedef struct ops_options {
    bench_options bench;
    char *only, *list_name;
    const bench_list *list;
    int stats;
    const char *no_stats; // why there are none; NULL: they are taken, or were not asked for
} ops_options;

// The time that rates are of: the device's own where it has one.
double ops_time(const ops_result *r);

// ---- inputs, and the reference (bench_ops_check.c) -------------------------------------------

// Writes all inputs of the graph; *bytes is what inputs and outputs take.
hn_status ops_write_inputs(const bench_shape *b, const hn_graph *g, hn_plan *p, double *bytes);
// Compares the outputs of a plan that has run with the reference: DEVICE where they differ by more
// than the shape's tolerance, or where one is no finite number.
hn_status ops_check(const hn_graph *g, hn_plan *p, hn_device *ref, ops_result *r);

// ---- saying (bench_ops_say.c) ----------------------------------------------------------------

void ops_print_head(const ops_options *o, const hn_device *d, const bench_peaks *peaks);
void ops_print_row(const ops_result *r);
json_t *ops_row_json(const ops_result *r);
void ops_page(report *page, const bench_peaks *peaks, const ops_result *r, int n);

#endif
