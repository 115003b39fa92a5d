"""What is installed: one list of packages told three times, one address, a light import, a build
that survives without a compiler."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
ADDRESS = PROJECT["urls"]["Repository"]

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
CONDA_ONLY = {"python", "c-compiler", "pip"}
# What an installation in a folder of one's own (conda, Docker) brings with it.
FULL = ["torch", "lab", "test"]


def requirements(lines):
    """``{name: version range}`` of requirement strings."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed}


def test_environment_yml_lists_the_packages_of_pyproject():
    yaml = pytest.importorskip("yaml")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    listed = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    conda = requirements(listed)
    wanted = requirements(
        [
            *PROJECT["dependencies"],
            *(line for extra in FULL for line in EXTRAS[extra]),
            *PYPROJECT["build-system"]["requires"],
        ]
    )
    wanted = {CONDA_NAMES.get(name, name): versions for name, versions in wanted.items()}
    assert {name: conda[name] for name in conda.keys() - CONDA_ONLY} == wanted
    assert conda.keys() >= CONDA_ONLY
    assert conda["python"] == PROJECT["requires-python"]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-e ."]


def test_dockerfile_installs_from_pyproject_and_nothing_else():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG EXTRAS=(.+)$", text, re.M).group(1).split(",") == FULL
    installs = re.findall(r"pip3? install (.+)$", text, re.M)
    assert installs == ['--no-cache-dir "/src[${EXTRAS}]"']
    # The image is the user's own machine: not root, and nobody gets in without the token.
    assert re.search(r"^USER (?!root)\w+$", text, re.M)
    assert "token=" not in text.lower() and "password" not in text.lower()
    assert "HEALTHCHECK" in text and "/api" in text


def test_docker_context_holds_all_that_is_copied():
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", text, re.M)
        for name in line.split()[:-1]
    }
    # "." is what the build needs: the package, its build files, and the two that pyproject names.
    copied = (copied - {"."}) | {"coursekit", "setup.py", "README.md", "LICENSE", "pyproject.toml"}
    assert kept == copied


def test_versions_are_not_capped():
    """Colab has its NumPy loaded before our first cell: a cap would make pip replace it."""
    assert PROJECT["requires-python"] == ">=3.11"
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    for line in lines:
        assert not re.search(r"<|==|~=", line), f"{line} is capped"
    assert requirements(PROJECT["dependencies"])["numpy"] == ">=2.0"


def test_extras_exist_and_torch_is_one_of_them():
    assert set(EXTRAS) == {"torch", "onnx", "augment", "lab", "test", "dev"}
    base = requirements(PROJECT["dependencies"])
    assert not base.keys() & {"torch", "torchvision"}


def test_the_address_stands_in_one_place():
    """Text shown to people repeats it unchanged; code and tools read it from pyproject.toml."""
    slug = ADDRESS.removeprefix("https://github.com/")
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", slug)
    ours = re.compile(
        r"(?:git\+https://github\.com/|colab\.research\.google\.com/github/"
        r"|raw\.githubusercontent\.com/|github\.com/(?=[\w.-]+/coursekit\b))([\w.-]+/[\w-]+)"
    )
    shown = [*ROOT.glob("*.md"), *ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("exercises/*.ipynb")]
    for path in shown:
        found = set(ours.findall(path.read_text(encoding="utf-8")))
        assert found <= {slug}, f"{path.name} names {found}, pyproject.toml names {slug}"
    code = [
        path
        for folder in ("coursekit", "lessons", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".pyx", ".md", ".h"}
    ]
    tools = [ROOT / name for name in ("setup.py", "Makefile", "Dockerfile", "environment.yml")]
    for path in [*code, *tools, ROOT / "conftest.py"]:
        assert slug not in path.read_text(encoding="utf-8"), f"{path.name} repeats the address"


HEAVY = {"torch", "sklearn", "pandas", "matplotlib"}


@pytest.mark.parametrize(
    "rooms, forbidden",
    [
        ("coursekit", HEAVY),
        ("coursekit.functional, coursekit.kernels, coursekit.nn, coursekit.optim", HEAVY),
        ("coursekit.data, coursekit.training, coursekit.checks", {"torch"}),
        ("coursekit.plots", {"torch"}),
    ],
)
def test_imports_stay_light(rooms, forbidden):
    code = f"import sys, {rooms}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not forbidden & set(done.stdout.split())


# --- the build, for real (a few compilations: `pytest -m slow`) ---------------------------------

# A compiler that lacks one thing: it refuses the flag, and else does what the real one does.
LACKING = '#!/bin/sh\nfor a in "$@"; do [ "$a" = "{flag}" ] && exit 1; done\nexec {cc} "$@"\n'


def build(folder, *, cc, require=False):
    """Compile the kernels in a copy of the tree; ``(exit code, what kernels.info() says)``."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(
        ROOT / "coursekit",
        folder / "coursekit",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
    )
    environ = os.environ | {"CC": str(cc), "COURSEKIT_REQUIRE_FAST": "1" if require else "0"}
    environ.pop("COURSEKIT_KERNELS", None)
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    code = "from coursekit import kernels; i = kernels.info(); print(i.backend, i.openmp, i.simd)"
    info = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.returncode, info.stdout.strip()


@pytest.mark.slow
def test_the_source_archive_holds_what_a_build_needs_and_nothing_else(tmp_path):
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("coursekit", "tests"):
        compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=compiled)
    code = "import setuptools.build_meta as backend; backend.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True)
    with tarfile.open(next((tmp_path / "dist").glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "coursekit").rglob("*")
        if path.suffix in {".py", ".pyx", ".pxi", ".h", ".typed"}
    }
    assert not needed - held
    tops = {name.partition("/")[0] for name in held if not name.endswith(".egg-info")}
    assert tops - {""} == {
        *("coursekit", "coursekit_deep_learning.egg-info", "pyproject.toml", "setup.py"),
        *("setup.cfg", "MANIFEST.in", "README.md", "LICENSE", "PKG-INFO"),
    }


@pytest.fixture
def cc():
    """The real compiler's path."""
    path = shutil.which("gcc") or shutil.which("cc")
    if path is None or sys.platform == "win32":
        pytest.skip("needs a Unix C compiler")
    return path


def write_compiler(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_no_compiler_means_numpy(tmp_path):
    assert build(tmp_path, cc="/bin/false") == (0, "numpy False NumPy's own")


@pytest.mark.slow
def test_no_compiler_is_an_error_where_speed_is_required(tmp_path):
    code, _ = build(tmp_path, cc="/bin/false", require=True)
    assert code != 0


@pytest.mark.slow
def test_no_openmp_means_serial(tmp_path, cc):
    lacking = write_compiler(tmp_path / "cc", LACKING.format(flag="-fopenmp", cc=cc))
    code, said = build(tmp_path, cc=lacking, require=True)
    assert code == 0 and said.startswith("cython False")


@pytest.mark.slow
def test_no_clones_means_the_baseline(tmp_path, cc):
    # Without -DCK_NO_CLONES this compiler fails, as one does that rejects the attribute.
    text = f'#!/bin/sh\ncase "$*" in *-c*-DCK_NO_CLONES*|*-shared*) exec {cc} "$@";; esac\nexit 1\n'
    code, said = build(tmp_path, cc=write_compiler(tmp_path / "cc", text), require=True)
    # The convolutions, which choose their instructions without clones, are told after it.
    assert code == 0 and said.startswith("cython True the compiler's baseline")
