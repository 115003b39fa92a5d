/* One binary for all x86-64 machines: the compiler emits a function several times, once for each
 * instruction set, and the dynamic linker picks the best one for the processor at load time.
 *
 * CK_CLONES marks such a function. It needs GCC and glibc; elsewhere (clang, MSVC, musl, ARM) it
 * is empty and the function is compiled once for the baseline. setup.py defines CK_NO_CLONES when
 * a compiler has the macros of a new GCC but rejects the attribute.
 */
#ifndef COURSEKIT_SIMD_H
#define COURSEKIT_SIMD_H

#include <stddef.h> /* on Linux it brings in features.h, which defines __GLIBC__ */

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && \
    defined(__linux__) && defined(__GLIBC__) && !defined(CK_NO_CLONES)
#define CK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

static const char *ck_simd_path(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return "AVX-512 (chosen at run time)";
    if (__builtin_cpu_supports("x86-64-v3")) return "AVX2 (chosen at run time)";
    return "SSE2 (chosen at run time)";
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
