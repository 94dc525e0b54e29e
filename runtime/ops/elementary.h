// Elementary functions in f32 arithmetic only, written once for the cpu device's lanes and for
// SPIR-V (whose own sin and cos may be off by 2^-11, and whose exp by many ulp). No branches, no
// tables. Included by pointwise_tile.c and pointwise_spirv.c, which give the vocabulary a meaning:
// that of formulas.h, and FN, V (a float), I (an integer), PARAM and ARG (what functions hand on),
// RINT; BITS, OF_BITS, TO_I (of an integral V below 2^22), TO_V, KI, IADD, ISUB, IAND, IOR, ISHL,
// ISHR (arithmetic), IODD (truth), IPICK, TRUNC_I (towards 0, of what fits).
// Polynomials are minimax fits; the error beside each is that of the polynomial alone.

// c0 + c1 x + c2 x^2 ...
FN V poly3(PARAM V x, float c0, float c1, float c2)
{
    return ADD(K(c0), MUL(x, ADD(K(c1), MUL(x, K(c2)))));
}

FN V poly5(PARAM V x, float c0, float c1, float c2, float c3, float c4)
{
    return ADD(K(c0), MUL(x, ADD(K(c1), MUL(x, poly3(ARG x, c2, c3, c4)))));
}

// x = k ln 2 + r: gives exp(r) and k. Relative error 3e-9.
FN V exp_parts(PARAM V x, I *k)
{
    const V n = RINT(MUL(x, K(1.44269504f)));
    const V r = SUB(SUB(x, MUL(n, K(0.693359375f))), MUL(n, K(-2.12194440e-4f)));
    const V p = poly5(ARG r, 0.4999999345f, 0.1666652069f, 0.04166838731f, 0.008368710101f,
                      0.001381461703f);
    *k = TO_I(n);
    return ADD(K(1), ADD(r, MUL(MUL(r, r), p)));
}

// 2^k for -126 <= k <= 127.
FN V power2(PARAM I k)
{
    return OF_BITS(ISHL(IADD(k, KI(127)), 23));
}

FN V exp_near(PARAM V x) // -87 <= x <= 88
{
    I k;
    const V p = exp_parts(ARG x, &k);
    return MUL(p, power2(ARG k));
}

FN V exp_any(PARAM V x)
{
    I k;
    const V in = PICK(LT(x, K(-104)), K(-104), PICK(LT(K(89), x), K(89), x));
    const V p = exp_parts(ARG in, &k);
    const I half = ISHR(k, 1); // two steps, so that results below 2^-126 keep their bits
    return MUL(MUL(p, power2(ARG half)), power2(ARG ISUB(k, half)));
}

// x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)). Relative error 6e-9.
FN V log_any(PARAM V x)
{
    const V y = PICK(LT(x, K(1.17549435e-38f)), MUL(x, K(8388608)), x);
    const I u = BITS(y), e = ISHR(ISUB(u, KI(0x3f3504f3)), 23);
    const V f = SUB(OF_BITS(ISUB(u, ISHL(e, 23))), K(1));
    const V n = SUB(TO_V(e), PICK(LT(x, K(1.17549435e-38f)), K(23), K(0)));
    const V p = ADD(
        K(0.3333333171f),
        MUL(f, ADD(K(-0.2500082101f),
                   MUL(f, ADD(K(0.2000122677f),
                              MUL(f, poly5(ARG f, -0.1662335779f, 0.1420176024f, -0.1316018088f,
                                           0.1276156433f, -0.07634486246f)))))));
    const V ff = MUL(f, f);
    const V low = ADD(MUL(MUL(f, ff), p), MUL(n, K(-2.12194440e-4f)));
    const V r = ADD(ADD(f, SUB(low, MUL(K(0.5f), ff))), MUL(n, K(0.693359375f)));
    return PICK(LT(K(0), x), PICK(LE(x, LARGEST), r, x), PICK(EQ(x, K(0)), K(-INFINITY), K(NAN)));
}

FN V with_sign(PARAM V size, V sign)
{
    return PICK(LT(sign, K(0)), NEG(size), size);
}

// An odd series below 0.625 (4e-9), above it 1 - 2 / (exp(2 |x|) + 1).
FN V tanh_any(PARAM V x)
{
    const V a = ABS(x), z = MUL(x, x), top = PICK(LT(K(10), a), K(10), a);
    const V p = poly5(ARG z, -0.3333328194f, 0.1333144219f, -0.0537397143f, 0.0206390849f,
                      -0.005704984483f);
    const V big = SUB(K(1), DIV(K(2), ADD(K(1), exp_near(ARG ADD(top, top)))));
    return PICK(LT(a, K(0.625f)), ADD(x, MUL(MUL(x, z), p)), with_sign(ARG big, x));
}

// log(erfc(z)) + z^2 on [1, 4] (3e-7), beyond it too large, where erfc is below 2e-8.
FN V erfc_log(PARAM V z)
{
    const V t = PICK(LT(K(4), z), K(4), z);
    const V high = poly5(ARG t, -0.1033555735f, 0.02263866389f, -0.003441253722f, 0.0003181901591f,
                         -1.334551163e-5f);
    return ADD(K(-0.0007484028827f),
               MUL(t, ADD(K(-1.125957008f), MUL(t, ADD(K(0.3609528957f), MUL(t, high))))));
}

// erf(x) / x for |x| < 1, from z = x^2 (1e-9).
FN V erf_ratio(PARAM V z)
{
    const V high = poly5(ARG z, 0.1128358515f, -0.0268538119f, 0.005188327588f, -0.0008010192537f,
                         7.853857212e-5f);
    return ADD(K(1.128379166f), MUL(z, ADD(K(-0.3761262582f), MUL(z, high))));
}

FN V erf_any(PARAM V x)
{
    const V a = ABS(x), z = MUL(x, x), top = PICK(LT(K(80), z), K(80), z);
    const V big = SUB(K(1), exp_near(ARG SUB(erfc_log(ARG a), top)));
    return PICK(LT(a, K(1)), MUL(x, erf_ratio(ARG z)), with_sign(ARG big, x));
}

// The normal distribution function; what is small comes without cancellation.
FN V cdf_any(PARAM V x)
{
    const V z = MUL(x, K(0.707106781f)), a = ABS(z), zz = MUL(K(0.5f), MUL(x, x));
    const V top = PICK(LT(K(80), zz), K(80), zz);
    const V small = MUL(K(0.5f), exp_near(ARG SUB(erfc_log(ARG a), top)));
    const V tail = PICK(LT(K(80), zz), K(0), small);
    const V middle = ADD(K(0.5f), MUL(K(0.5f), MUL(z, erf_ratio(ARG zz))));
    return PICK(LT(a, K(1)), middle, PICK(LT(x, K(0)), tail, SUB(K(1), tail)));
}

// sin(x + quarters pi/2): x = k pi/2 + r with pi/2 in three parts, so that k times the first two
// is exact for |k| < 2^13. Relative errors 4e-9 and 1e-10.
FN V sin_any(PARAM V x, int quarters)
{
    const V n = RINT(MUL(x, K(0.636619772f)));
    const V r = SUB(SUB(SUB(x, MUL(n, K(1.5703125f))), MUL(n, K(4.837512969970703125e-4f))),
                    MUL(n, K(7.54978995e-8f)));
    const V z = MUL(r, r);
    const I q = IADD(TO_I(n), KI(quarters));
    const V s =
        ADD(r, MUL(MUL(r, z), poly3(ARG z, -0.1666665387f, 0.008332113281f, -0.0001950877393f)));
    const V c =
        ADD(SUB(K(1), MUL(K(0.5f), z)),
            MUL(MUL(z, z), poly3(ARG z, 0.04166664437f, -0.001388725181f, 2.442571829e-5f)));
    const V v = PICK(IODD(q), c, s);
    return PICK(IODD(ISHR(q, 1)), NEG(v), v);
}

// The nearest f16, and bf16, ties to even, as f32.
FN V round_f16(PARAM V x)
{
    const V a = ABS(x);
    const I u = BITS(a);
    const V normal =
        OF_BITS(IAND(IADD(IADD(u, KI(0xfff)), IAND(ISHR(u, 13), KI(1))), KI(~0x1fff)));
    const V small = SUB(ADD(a, K(0.5f)), K(0.5f)); // f16's subnormals are multiples of 2^-24
    const V r = PICK(LT(a, K(6.103515625e-5f)), small,
                     PICK(LE(K(65520), a), K(INFINITY), normal));
    return PICK(EQ(x, x), OF_BITS(IOR(BITS(r), IAND(BITS(x), KI(INT32_MIN)))), x);
}

FN V round_bf16(PARAM V x)
{
    const I u = BITS(x), odd = IAND(ISHR(u, 16), KI(1));
    return PICK(EQ(x, x), OF_BITS(IAND(IADD(IADD(u, KI(0x7fff)), odd), KI(~0xffff))), x);
}

// Truncated and saturated; NaN gives 0. 2147483520 is the greatest f32 below 2^31.
FN I to_i32(PARAM V x)
{
    const V in =
        PICK(LT(x, K(-2147483648.0f)), K(-2147483648.0f), PICK(LE(x, K(2147483520.0f)), x, K(0)));
    return IPICK(LT(K(2147483520.0f), x), KI(INT32_MAX), TRUNC_I(in));
}

FN I to_u8(PARAM V x)
{
    return TRUNC_I(PICK(LT(K(0), x), PICK(LT(K(255), x), K(255), x), K(0)));
}

