"""The compiled kernels; everything else about the package stands in pyproject.toml.

They are optional: without a compiler the package installs all the same and NumPy does the work.
``COURSEKIT_REQUIRE_FAST=1`` makes that an error, for images and CI that count on speed.
``COURSEKIT_SANITIZE=1`` builds slow kernels that stop at the first access out of bounds; to import
them, preload the sanitizer (``LD_PRELOAD=$(gcc -print-file-name=libasan.so)``).
"""

import os
import sys
from glob import glob
from itertools import product

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REQUIRE_FAST = os.environ.get("COURSEKIT_REQUIRE_FAST") == "1"
SANITIZE = os.environ.get("COURSEKIT_SANITIZE") == "1"

# Never -march=native: the binary must run on the next machine too (kernels/_simd.h). Never
# -ffast-math: with it, linking switches the whole process to flush-to-zero on older GCCs.
OPTIMISE = {
    "unix": ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"],
    "msvc": ["/O2"],
}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
OPENMP = {  # (compile, link)
    "unix": (["-fopenmp"], ["-fopenmp"]),
    "darwin": (["-Xclang", "-fopenmp"], ["-lomp"]),  # Apple's clang, after `brew install libomp`
    "msvc": (["/openmp"], []),
}


class BuildExt(build_ext):
    """Try the richest build first: OpenMP and clones, then without the one, the other, both."""

    def build_extension(self, ext):
        """Compile ``ext`` with the first set of flags that this compiler takes."""
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        openmp = OPENMP["darwin" if kind == "unix" and sys.platform == "darwin" else kind]
        no_clones = ["/DCK_NO_CLONES" if kind == "msvc" else "-DCK_NO_CLONES"]
        attempts = product((openmp, ([], [])), ([], no_clones))
        optimise, links = OPTIMISE[kind], []
        if SANITIZE:  # clones are chosen while the library loads, before a sanitizer is ready
            optimise, links = ["-O1", "-g", *SANITIZERS], SANITIZERS
            attempts = [(openmp, no_clones)]
        self.force = True  # a failed attempt may leave objects that look up to date
        for (compile_flags, link_flags), defines in attempts:
            ext.extra_compile_args = optimise + compile_flags + defines
            ext.extra_link_args = link_flags + links
            try:
                return super().build_extension(ext)
            except Exception as error:
                failure = error
                print(f"{ext.name}: not with {compile_flags + defines}: {error}", file=sys.stderr)
        raise failure


extensions = cythonize(
    [
        Extension(
            "coursekit.kernels._cython",
            ["coursekit/kernels/_cython.pyx"],
            include_dirs=["coursekit/kernels"],
            depends=[*glob("coursekit/kernels/*.h"), *glob("coursekit/kernels/*.pxi")],
        )
    ],
    build_dir="build",
)
for extension in extensions:
    extension.optional = not (REQUIRE_FAST or SANITIZE)  # only here: cythonize() drops it

setup(ext_modules=extensions, cmdclass={"build_ext": BuildExt})
