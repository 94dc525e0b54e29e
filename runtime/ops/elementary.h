// Elementary functions in f32 arithmetic only, written once for the cpu device's lanes and for
// SPIR-V (whose own sin and cos may be off by 2^-11, and whose exp by many ulp). No branches, no
// tables. Included by pointwise_tile.c and pointwise_spirv.c, which give the vocabulary a meaning:
// that of formulas.h, and FN, V (a float), I (an integer), PARAM and ARG (what functions hand on),
// RINT, MAD(x, y, z) = x y + z rounded once or twice; BITS, OF_BITS, TO_I (of an integral V below
// 2^22), TO_V, KI, IADD, ISUB, IAND, IOR, ISHL, ISHR (arithmetic), IODD (truth), IPICK, TRUNC_I
// (towards 0, of what fits).
// Polynomials are minimax fits; the error beside each is that of the polynomial alone.

// c0 + c1 x + c2 x^2 ...
FN V poly3(PARAM V x, float c0, float c1, float c2)
{
    return MAD(x, MAD(x, K(c2), K(c1)), K(c0));
}

FN V poly5(PARAM V x, float c0, float c1, float c2, float c3, float c4)
{
    return MAD(x, MAD(x, poly3(ARG x, c2, c3, c4), K(c1)), K(c0));
}

// x = k ln 2 + r: gives exp(r) and k. Relative error 3e-9.
FN V exp_parts(PARAM V x, I *k)
{
    const V n = RINT(MUL(x, K(1.44269504f)));
    const V r = MAD(n, K(2.12194440e-4f), MAD(n, K(-0.693359375f), x));
    const V p = poly5(ARG r, 0.4999999345f, 0.1666652069f, 0.04166838731f, 0.008368710101f,
                      0.001381461703f);
    *k = TO_I(n);
    return ADD(K(1), MAD(MUL(r, r), p, r));
}

// 2^k for -126 <= k <= 127; 0 for -127.
FN V power2(PARAM I k)
{
    return OF_BITS(ISHL(IADD(k, KI(127)), 23));
}

FN V exp_near(PARAM V x) // -88 <= x <= 88; 0 where it is below 2^-126
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
    const V high = poly5(ARG f, -0.1662335779f, 0.1420176024f, -0.1316018088f, 0.1276156433f,
                         -0.07634486246f);
    const V p =
        MAD(f, MAD(f, MAD(f, high, K(0.2000122677f)), K(-0.2500082101f)), K(0.3333333171f));
    const V ff = MUL(f, f);
    const V low = MAD(MUL(f, ff), p, MUL(n, K(-2.12194440e-4f)));
    const V r = MAD(n, K(0.693359375f), ADD(f, MAD(K(-0.5f), ff, low)));
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
    return PICK(LT(a, K(0.625f)), MAD(MUL(x, z), p, x), with_sign(ARG big, x));
}

// x P(x^2) / Q(x^2) (2e-8) up to 3.92, where it is 1 to rounding.
FN V erf_any(PARAM V x)
{
    const V t = PICK(LT(x, K(-3.92f)), K(-3.92f), PICK(LT(K(3.92f), x), K(3.92f), x));
    const V z = MUL(t, t);
    const V p_high = poly5(ARG z, 0.1904045194f, 0.05274791643f, 0.003765397472f, 0.00028485459f,
                           2.04979051e-6f);
    const V q_high =
        poly5(ARG z, 0.5020743609f, 0.11410781f, 0.01496876614f, 0.001162440167f, 3.808718247e-5f);
    const V p = MAD(z, p_high, K(1.128379107f)), q = MAD(z, q_high, K(1));
    return DIV(MUL(t, p), q);
}

// exp(-x^2 / 2); 0 where it is below 2^-126.
FN V bell(PARAM V x)
{
    const V z = MUL(K(-0.5f), MUL(x, x));
    return exp_near(ARG PICK(LT(z, K(-88)), K(-88), z));
}

// The normal distribution function; what is small comes without cancellation. The tail is
// exp(-x^2 / 2) times a polynomial of u = 1 / (1 + 0.29 |x|) (5e-8 up to 13).
FN V cdf_any(PARAM V x)
{
    const V a = ABS(x), u = DIV(K(1), MAD(a, K(0.29f), K(1)));
    const V high =
        poly5(ARG u, 0.1885780543f, -0.1536273062f, 0.3069269359f, -0.192664668f, 0.03919191658f);
    const V low = MAD(u, MAD(u, high, K(0.07498790324f)), K(0.121498391f));
    const V ratio = MAD(u, MAD(u, low, K(0.1150810272f)), K(2.774646055e-5f));
    const V tail = MUL(bell(ARG x), ratio);
    return PICK(LT(x, K(0)), tail, SUB(K(1), tail));
}

// sin(x + quarters pi/2): x = k pi/2 + r with pi/2 in three parts, so that k times the first two
// is exact for |k| < 2^13. Relative errors 4e-9 and 1e-10.
FN V sin_any(PARAM V x, int quarters)
{
    const V n = RINT(MUL(x, K(0.636619772f)));
    const V r = MAD(n, K(-7.54978995e-8f),
                    MAD(n, K(-4.837512969970703125e-4f), MAD(n, K(-1.5703125f), x)));
    const V z = MUL(r, r);
    const I q = IADD(TO_I(n), KI(quarters));
    const V s =
        MAD(MUL(r, z), poly3(ARG z, -0.1666665387f, 0.008332113281f, -0.0001950877393f), r);
    const V c =
        MAD(MUL(z, z), poly3(ARG z, 0.04166664437f, -0.001388725181f, 2.442571829e-5f),
            MAD(K(-0.5f), z, K(1)));
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

