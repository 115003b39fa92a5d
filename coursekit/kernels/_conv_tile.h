/* The one product that all three convolutions are made of, for one type and one instruction set.
 *
 * _conv.h includes this file several times, having defined
 *     TILE    the name of the function        NUMBER  float or double
 *     TARGET  instruction set, an attribute   BYTES   size of a vector register
 *     ROWS    rows of the tile
 *
 * What sits where, for float and AVX-512 (ROWS 8, 16 lanes, 32 registers):
 *
 *                                   panel[j]: 2 registers, from the level-1 or level-2 cache
 *                                  +----------------+----------------+
 *                                  |    w[0..15]    |   w[16..31]    |      32 columns
 *                                  +----------------+----------------+
 *       a[0][o] -> x in all lanes  |   acc[0][0]    |   acc[0][1]    |
 *       a[1][o] -> x in all lanes  |   acc[1][0]    |   acc[1][1]    |      16 registers of sums,
 *         ...        1 register    |      ...       |      ...       |      which stay there for
 *       a[7][o] -> x in all lanes  |   acc[7][0]    |   acc[7][1]    |      the whole reduction
 *                                  +----------------+----------------+
 *
 * A step j is 10 loads for 256 multiply-adds, in 16 instructions. A plain loop has two loads for
 * each, and waits for them. Sixteen sums that do not depend on each other also hide that a
 * multiply-add takes four cycles.
 *
 * The rows need not be a matrix: each has its own pointer. They may be windows of a picture, which
 * overlap, so that nothing is ever laid out as a matrix of windows.
 */

#define VECTOR CK_JOIN(TILE, _vector)
#define BODY CK_JOIN(TILE, _body)

#if defined(__GNUC__) /* clang too */
typedef NUMBER VECTOR __attribute__((vector_size(BYTES), aligned(sizeof(NUMBER)), may_alias));
#define LANES ((int)(BYTES / sizeof(NUMBER)))
#else
typedef NUMBER VECTOR; /* no vectors here: the same tile of single numbers */
#define LANES 1
#endif

enum { CK_JOIN(TILE, _rows) = ROWS, CK_JOIN(TILE, _width) = 2 * LANES };

/* `vectors`, 1 or 2, is a constant where this is inlined, like ROWS: loops over them vanish. */
TARGET CK_INLINE void BODY(CK_PRODUCT_ARGUMENTS, int vectors) {
    VECTOR acc[ROWS][2];
    const NUMBER *from[ROWS];
    CK_UNROLL
    for (int i = 0; i < ROWS; i++) {
        from[i] = a[i];
        acc[i][0] = acc[i][1] = (VECTOR){0};
    }
    const VECTOR *w = panel;
    for (ptrdiff_t r = 0; r < outer; r++) {
        ptrdiff_t o = r * jump;
        for (ptrdiff_t j = 0; j < inner; j++, o += step, w += 2) {
            CK_UNROLL
            for (int i = 0; i < ROWS; i++) {
                NUMBER x = from[i][o];
                acc[i][0] += x * w[0];
                if (vectors == 2) acc[i][1] += x * w[1];
            }
        }
    }
    /* One row after the other: where rows of `out` overlap, each adds to what the last one left. */
    CK_UNROLL
    for (int i = 0; i < ROWS; i++) {
        if (i >= rows) continue;
        const void *base = bias ? bias : out[i];
        if (width == vectors * LANES) {
            VECTOR *to = out[i];
            for (int v = 0; v < vectors; v++) to[v] = acc[i][v] + ((const VECTOR *)base)[v];
        } else {
            VECTOR sums[2] = {acc[i][0], acc[i][1]}; /* in memory, where lanes can be counted */
            NUMBER *to = out[i];
            for (int l = 0; l < width; l++)
                to[l] = ((const NUMBER *)sums)[l] + ((const NUMBER *)base)[l];
        }
    }
}

TARGET static void TILE(CK_PRODUCT_ARGUMENTS) {
    if (width > LANES)
        BODY(a, outer, jump, inner, step, panel, bias, out, rows, width, 2);
    else
        BODY(a, outer, jump, inner, step, panel, bias, out, rows, width, 1);
}

#include "_conv_winograd.h"

#undef VECTOR
#undef BODY
#undef LANES
#undef NUMBER
#undef TILE
