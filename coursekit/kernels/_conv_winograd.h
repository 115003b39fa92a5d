/* Winograd's transforms for 3 x 3 kernels, for one type and one instruction set; see _conv.h.
 *
 * Two outputs of a row of three weights are six products when done by hand,
 *     y0 = d0 g0 + d1 g1 + d2 g2,     y1 = d1 g0 + d2 g1 + d3 g2,
 * and four when sums are taken before and after:
 *
 *     inputs spread       filter spread            products, gathered
 *     v0 = d0 - d2        u0 = g0                  m = u * v, number by number
 *     v1 = d1 + d2        u1 = (g0 + g1 + g2) / 2  y0 = m0 + m1 + m2
 *     v2 = d2 - d1        u2 = (g0 - g1 + g2) / 2  y1 = m1 - m2 - m3
 *     v3 = d1 - d3        u3 = g2
 *
 * In two dimensions, rows first and columns then, 2 x 2 outputs take 16 products instead of 36.
 * With channels, m is a sum over them: a matrix product for each of the 16 places. The sums before
 * and after cost little, as those of an input serve all filters, and those of an output all
 * channels.
 *
 * A float32 result is about as exact as a plain sum. But an infinity makes the whole square NaN, as
 * differences are taken.
 *
 * The gradient of the filter goes the same way back: each sum has its transpose.
 */

#define LINE CK_JOIN(TILE, _line)
#define PLANE CK_JOIN(TILE, _plane)

/* One dimension: `y` from `x`, up to four vectors each. */
TARGET CK_INLINE void LINE(int kind, const VECTOR *x, VECTOR *y) {
    const NUMBER half = (NUMBER)0.5;
    switch (kind) {
    case CK_SPREAD_INPUT: /* 4 to 4 */
        y[0] = x[0] - x[2], y[1] = x[1] + x[2], y[2] = x[2] - x[1], y[3] = x[1] - x[3];
        break;
    case CK_SPREAD_FILTER: /* 3 to 4 */
        y[0] = x[0], y[3] = x[2];
        y[1] = ((x[0] + x[2]) + x[1]) * half, y[2] = ((x[0] + x[2]) - x[1]) * half;
        break;
    case CK_GATHER_OUTPUT: /* 4 to 2 */
        y[0] = x[0] + (x[1] + x[2]), y[1] = (x[1] - x[2]) - x[3];
        break;
    case CK_SPREAD_DOUT: /* 2 to 4: the transpose of the last one */
        y[0] = x[0], y[1] = x[0] + x[1], y[2] = x[0] - x[1], y[3] = -x[1];
        break;
    case CK_GATHER_DFILTER: /* 4 to 3: the transpose of the filter's */
        y[0] = x[0] + (x[1] + x[2]) * half, y[1] = (x[1] - x[2]) * half;
        y[2] = (x[1] + x[2]) * half + x[3];
        break;
    }
}

/* Two dimensions, for `count` channels side by side; the last vector may reach beyond them. */
TARGET CK_INLINE void PLANE(int kind, int size, int to_size, CK_TRANSFORM_ARGUMENTS) {
    for (ptrdiff_t c = 0; c < count; c += LANES) {
        VECTOR x[4], half_done[4][4], y[4];
        CK_UNROLL
        for (int i = 0; i < size; i++) {
            CK_UNROLL
            for (int j = 0; j < size; j++)
                x[j] = *(const VECTOR *)((const NUMBER *)from + i * row + j * column + c);
            LINE(kind, x, half_done[i]);
        }
        CK_UNROLL
        for (int j = 0; j < to_size; j++) {
            CK_UNROLL
            for (int i = 0; i < size; i++) x[i] = half_done[i][j];
            LINE(kind, x, y);
            CK_UNROLL
            for (int i = 0; i < to_size; i++)
                *(VECTOR *)((NUMBER *)to + i * to_row + j * to_column + c) = y[i];
        }
    }
}

#define CK_CASE(kind, size, to_size)                                                          \
    case kind:                                                                                \
        PLANE(kind, size, to_size, from, row, column, to, to_row, to_column, count);          \
        break

TARGET static void CK_JOIN(TILE, _transform)(int kind, CK_TRANSFORM_ARGUMENTS) {
    switch (kind) {
        CK_CASE(CK_SPREAD_INPUT, 4, 4);
        CK_CASE(CK_SPREAD_FILTER, 3, 4);
        CK_CASE(CK_GATHER_OUTPUT, 4, 2);
        CK_CASE(CK_SPREAD_DOUT, 2, 4);
        CK_CASE(CK_GATHER_DFILTER, 4, 3);
    }
}

#undef CK_CASE
#undef LINE
#undef PLANE
