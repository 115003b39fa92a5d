# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The kernels compiled: all arrays pass through the processor once.

Each kernel has two layers. The inner one is a plain loop over part of the arrays, compiled for
several instruction sets (see _simd.h). The outer one holds the Python signature, splits the
arrays over threads and lets the interpreter go on meanwhile.
Arrays are trusted here; ``coursekit.kernels`` checks them first.
One extension, one file a family of kernels: the includes at the end.
"""

import math

import numpy as np

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, sqrt, sqrtf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

cdef extern from "_simd.h":
    # A return type that carries the attribute: the way to put it on a Cython function.
    ctypedef void cloned_void "CK_CLONES void"
    const char* ck_simd_path() nogil
    enum: CK_HAS_OPENMP

HAS_OPENMP = bool(CK_HAS_OPENMP)

# A thread gets at least this many elements: waking one costs about as much as 16k updates.
cdef Py_ssize_t MIN_SHARE = 16384


def simd_path():
    """Which vector instructions run: of all kernels, and of convolutions."""
    return f"{ck_simd_path().decode()}; convolutions: {ck_tiles[chosen_tile][0].name.decode()}"


cdef Py_ssize_t shares(Py_ssize_t n, int num_threads) noexcept nogil:
    """Into how many parts to split ``n`` elements."""
    return max(1, min(<Py_ssize_t>num_threads, n // MIN_SHARE))


include "_cython_optimizer.pxi"
include "_cython_sums.pxi"
include "_cython_batch_norm.pxi"
include "_cython_layer_norm.pxi"
include "_cython_dropout.pxi"
include "_cython_tiles.pxi"
include "_cython_convolution.pxi"
include "_cython_winograd.pxi"
include "_cython_pooling.pxi"
