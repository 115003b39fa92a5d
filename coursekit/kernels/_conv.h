/* Convolution: one small product, compiled for every instruction set that pays, chosen at run time.
 *
 * The product is _conv_tile.h. With pictures whose channels lie last in memory, (H, W, C), every
 * convolution is that product with other pointers:
 *
 *                 rows of the tile        reduction over           panel
 *   forward       8 output pixels         i, then (j, c)           weight[i][j][c][32 filters]
 *   dweight       8 places (i, j, c)      output pixels            dout[pixel][32 filters]
 *   dx            8 output pixels         filters                  weight[i][filter][32 of (j, c)]
 *
 * (j, c) are kw * C numbers side by side in a picture: the kernel's row i meets them at one go. At
 * stride 1, dx is also the forward pass of dout with the filters turned round. Where 3 x 3 kernels
 * meet many channels, _conv_winograd.h puts sums around fewer products.
 *
 * What sits in which cache, for 64 channels and filters of 3 x 3:
 *
 *   registers   the tile's 8 x 32 sums                                        1 KiB
 *   level 1     8 neighbouring windows, which share most of their pixels      8 KiB
 *   level 2     a strip of a padded picture, up to                          256 KiB
 *               the panel of 32 filters, read from end to end by each tile   72 KiB
 *   memory      pictures in, pictures out: each number travels once
 *
 * The padded strip is a copy that a thread makes when it comes to it. It turns channels first into
 * channels last and puts the zeros of the padding where the windows look for them, so that no loop
 * ever asks whether a pixel is inside.
 */
#ifndef COURSEKIT_CONV_H
#define COURSEKIT_CONV_H

#include <stddef.h>

#define CK_JOIN_(a, b) a##b
#define CK_JOIN(a, b) CK_JOIN_(a, b)

/* out[i] = bias + the sum over r < outer, j < inner of a[i][r * jump + j * step] * panel[r][j], for
 * the first `rows` rows and `width` columns of the tile; without a bias it is added to out[i].
 * The void is float or double, and steps are counted in those. */
#define CK_PRODUCT_ARGUMENTS                                                                     \
    const void *const *a, ptrdiff_t outer, ptrdiff_t jump, ptrdiff_t inner, ptrdiff_t step,      \
        const void *panel, const void *bias, void *const *out, int rows, int width

/* Winograd's sums: `to`, up to 4 x 4 numbers for each of `count` channels, from `from`. */
#define CK_TRANSFORM_ARGUMENTS                                                                   \
    const void *from, ptrdiff_t row, ptrdiff_t column, void *to, ptrdiff_t to_row,               \
        ptrdiff_t to_column, ptrdiff_t count

enum {
    CK_SPREAD_INPUT,
    CK_SPREAD_FILTER,
    CK_GATHER_OUTPUT,
    CK_SPREAD_DOUT,
    CK_GATHER_DFILTER,
};

#if defined(__clang__)
#define CK_INLINE static inline __attribute__((always_inline))
#define CK_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define CK_INLINE static inline __attribute__((always_inline))
#define CK_UNROLL _Pragma("GCC unroll 8")
#else
#define CK_INLINE static __inline
#define CK_UNROLL
#endif

#if defined(__GNUC__)
#define CK_PREFETCH(p) __builtin_prefetch(p) /* into the cache; any address will do */
#else
#define CK_PREFETCH(p) ((void)0)
#endif

#if defined(__GNUC__) && defined(__x86_64__) && !defined(_WIN32)
#define CK_X86 1
#else
#define CK_X86 0
#endif

/* --- for every processor: 128 bits are the baseline of x86-64 and of 64-bit ARM --------------- */
#define TARGET
#define BYTES 16
#define ROWS 6
#define NUMBER float
#define TILE ck_float_baseline
#include "_conv_tile.h"
#define NUMBER double
#define TILE ck_double_baseline
#include "_conv_tile.h"
#undef TARGET
#undef BYTES
#undef ROWS

#if CK_X86
/* --- 16 registers of 256 bits: 6 x 2 sums, 2 vectors of the panel, 1 number in all lanes ------ */
#define TARGET __attribute__((target("avx2,fma")))
#define BYTES 32
#define ROWS 6
#define NUMBER float
#define TILE ck_float_avx2
#include "_conv_tile.h"
#define NUMBER double
#define TILE ck_double_avx2
#include "_conv_tile.h"
#undef TARGET
#undef BYTES
#undef ROWS

/* --- 32 registers of 512 bits: more than 8 rows were no faster, and 8 divides most pictures --- */
#define TARGET __attribute__((target("avx512f,fma")))
#define BYTES 64
#define ROWS 8
#define NUMBER float
#define TILE ck_float_avx512
#include "_conv_tile.h"
#define NUMBER double
#define TILE ck_double_avx512
#include "_conv_tile.h"
#undef TARGET
#undef BYTES
#undef ROWS
#endif

/* --- which of them runs ----------------------------------------------------------------------- */
typedef struct {
    const char *name;
    int rows, width; /* of the tile */
    void (*product)(CK_PRODUCT_ARGUMENTS);
    void (*transform)(int kind, CK_TRANSFORM_ARGUMENTS);
} ck_tile;

#define CK_TILE(name, tile) {name, tile##_rows, tile##_width, tile, tile##_transform}

static const ck_tile ck_tiles[][2] = {
    {CK_TILE("baseline", ck_float_baseline), CK_TILE("baseline", ck_double_baseline)},
#if CK_X86
    {CK_TILE("AVX2", ck_float_avx2), CK_TILE("AVX2", ck_double_avx2)},
    {CK_TILE("AVX-512", ck_float_avx512), CK_TILE("AVX-512", ck_double_avx512)},
#endif
};

/* How many of the list, which goes from slow to fast, this processor can run. */
static int ck_tiles_that_run(void) {
#if CK_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    return __builtin_cpu_supports("avx512f") ? 3 : 2;
#else
    return 1;
#endif
}

#endif
