/* One binary for all x86-64 machines: the compiler emits a function several times, once for each
 * instruction set, and the dynamic linker picks the best one for the processor at load time.
 *
 * CK_CLONES marks such a function. It needs GCC and glibc; elsewhere (clang, MSVC, musl, ARM) it
 * is empty and the function is compiled once for the baseline. setup.py defines CK_NO_CLONES when
 * a compiler rejects the attribute.
 *
 * Why there is no AVX-512 clone: these loops stream through memory, and NumPy's large arrays begin
 * 16 bytes past a cache line, so that every 64-byte store would touch two lines. Adam on a Zen 4,
 * in cache: AVX2 0.34 ns an element, AVX-512 0.89 ns (0.40 ns when aligned first). A kernel that
 * computes more than it stores should measure again and add "arch=x86-64-v4".
 */
#ifndef COURSEKIT_SIMD_H
#define COURSEKIT_SIMD_H

#include <stddef.h> /* on Linux it brings in features.h, which defines __GLIBC__ */

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && \
    defined(__linux__) && defined(__GLIBC__) && !defined(CK_NO_CLONES)
#define CK_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))

static const char *ck_simd_path(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v3") ? "AVX2, chosen at run time"
                                               : "SSE2, chosen at run time";
}

#else
#define CK_CLONES

static const char *ck_simd_path(void) { return "the compiler's baseline"; }

#endif

#ifdef _OPENMP
#define CK_HAS_OPENMP 1
#else
#define CK_HAS_OPENMP 0
#endif

#endif
