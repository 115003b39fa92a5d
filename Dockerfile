# docker build -t coursekit .
# docker run --rm -p 127.0.0.1:8888:8888 coursekit            (add --gpus all for a GPU)
# Then open the address with the token that it prints. Your work: -v "$PWD/work:/home/learner/work".
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
# Everything by default; EXTRAS=lab,test leaves PyTorch and its gigabytes out.
ARG EXTRAS=torch,lab,test
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv
COPY . /src
# The kernels must compile here: an image that is slow without a word helps nobody.
RUN COURSEKIT_REQUIRE_FAST=1 /opt/venv/bin/pip install --no-cache-dir "/src[${EXTRAS}]"

FROM ${BASE}
# libgomp: the OpenMP run time that the compiled kernels load.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 learner \
    && install --directory --owner=learner --group=learner /home/learner/course
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER learner
WORKDIR /home/learner/course
COPY --chown=learner conftest.py nbval_sanitize.cfg pyproject.toml ./
COPY --chown=learner notebooks notebooks
COPY --chown=learner exercises exercises
RUN COURSEKIT_KERNELS=cython python -c "from coursekit import kernels; print(kernels.info())"

EXPOSE 8888
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8888/api', timeout=4)"]
# No token is set: JupyterLab makes a new one at each start and prints it.
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser", \
     "--LabApp.default_url=/lab/tree/notebooks/01_fc_nets.ipynb"]
