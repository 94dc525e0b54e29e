// The first operands of all kernels of attention_grad.
#ifndef HN_ATTENTION_GRAD_OPERANDS_GLSL
#define HN_ATTENTION_GRAD_OPERANDS_GLSL

IN(0, q);        // [batch, tq, heads, d]
IN(1, k);        // [batch, tk, kv_heads, d]
IN(2, v);        // like k
IN(3, y);        // like q
INF(4, lse);     // [batch, heads, tq]
IN(5, dy);       // like q
INI(6, n_keys);  // [batch], where p.has_n_keys
OUTF(7, delta);  // like lse: sum of dy y, less dlse

#endif
