// Which of an operator's variants a device runs: what was measured best there, and only what
// answers a known question rightly.
#ifndef HN_PLAN_CHOOSE_H
#define HN_PLAN_CHOOSE_H

#include "plan/build.h"

enum { HN__TEXT = 512 }; // bytes for an instance or a variant as text

// "matmul 16 16"; the operator's name where it has one way only.
const char *hn__variant_text(const hn__inst *n, const hn__variant *v, char buf[HN__TEXT]);
// "matmul f32[1024, 256] f32[256, 768] =kqgh...": operator, types, and the hash of its attributes
// in letters, so that all digits between brackets are sizes.
const char *hn__inst_text(const hn__inst *n, char buf[HN__TEXT]);

// The launch of a variant, and the hash of the SPIR-V that it runs. UNSUPPORTED where a shader of it
// is not in this build.
hn_status hn__launch_variant(const hn__inst *n, const hn_device_info *info, const hn__variant *v,
                             bool inplace, hn__launch *l, uint64_t *out_code);

// The launch of a step that is an operator: of p->force where it is of this operator; otherwise of
// the variant that was best for this instance or the nearest one to it, or the default; the next
// one where that is quarantined. What has no verdict yet is tried first (hn__self_test) and the
// verdict kept. DEVICE where none is left; NOMEM.
hn_status hn__choose(hn_plan *p, const hn__inst *n, bool inplace, hn__launch *l);

// Tries every operator of a fused step that has no verdict on this driver, alone, and keeps the
// verdict. DEVICE where one is wrong: there is no other way to run it. NOMEM.
hn_status hn__choose_chain(hn_plan *p, const hn__expr *e);

// Runs a small drawn instance of the operator with this variant, of which the code is `code`, and
// compares it with the reference. *out_reached is false where no draw of the operator runs that
// code; then nothing was run. DEVICE with the first wrong element; NOMEM.
hn_status hn__self_test(hn_device *d, const hn__inst *n, const hn__variant *v, uint64_t code,
                        bool *out_reached);

// The same for an operator of fused steps, alone in one.
hn_status hn__self_test_chain(hn_device *d, const hn__op *op);
// Whether a draw of the operator runs this variant and code: whether hn__self_test can say anything.
bool hn__self_test_finds(hn_device *d, const hn__inst *n, const hn__variant *v, uint64_t code);

// Measures the variants of the plan's operators of which nothing is known yet, the dearest first,
// until d->tune_ns are used, and keeps what was best (tune.c).
hn_status hn__tune_steps(hn_plan *p);

#endif
