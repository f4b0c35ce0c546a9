# Two images: `cpu` (RapidOCR, its weights included) and `gpu` (PP-StructureV3).
#
#   docker build --target cpu -t bucket-ocr:cpu .
#   docker build --target gpu --build-arg MODELS=balanced -t bucket-ocr:gpu .
#
# With `--build-arg LANGUAGES=ru` and the like they read these languages: the network for them becomes part of the image.
#
# pymupdf-layout, for LAYOUT=full, is in neither: it reads tables no better, and is under the AGPL or a commercial licence
# of its own.
#
# Each image has its SBOM and the licences of all that is in it at /opt/bucket-ocr/share/doc/bucket-ocr. The base image is
# named by its tag; to build the same image again, name it by digest: --build-arg BASE=docker.io/library/python@sha256:…
#
# Both run as user 10001 on a read-only root file system, and write only to /work (documents and pages in flight)
# and /tmp.

ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY infra/image/build.txt infra/image/
RUN python -m venv /build \
    && /build/bin/python -m pip install --no-cache-dir --require-hashes -r infra/image/build.txt
ENV PATH=/build/bin:$PATH VIRTUAL_ENV=/opt/bucket-ocr UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
# Without pip, because nothing is installed into an image later.
RUN uv venv --python "$(command -v python3)" /opt/bucket-ocr


FROM build AS wheel
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY consumer consumer
RUN python -m hatchling build --target wheel --directory /dist


FROM build AS build-cpu
COPY infra/image/cpu.txt infra/image/
RUN uv pip install --no-deps --require-hashes -r infra/image/cpu.txt
COPY --from=wheel /dist /dist
RUN uv pip install --no-deps /dist/*.whl
COPY infra/image/inventory.py infra/image/
RUN /opt/bucket-ocr/bin/python infra/image/inventory.py infra/image/cpu.txt /opt/bucket-ocr/share/doc/bucket-ocr


FROM build AS build-gpu
COPY infra/image/gpu.txt infra/image/
# PaddleX requires the distribution of OpenCV that opens windows, but checks its name only. The headless one, installed
# over it in the same folder, saves 300 MB of X11, Mesa and Qt.
RUN uv pip install --no-deps --require-hashes -r infra/image/gpu.txt \
    && uv pip install --no-deps --require-hashes -r infra/image/gpu.txt \
      --reinstall-package opencv-contrib-python-headless \
    && cd /opt/bucket-ocr/lib/python3*/site-packages && rm -r opencv_contrib_python.libs cv2/qt
# For CUDA 12.6, which needs an NVIDIA driver from 550.54 on. Other versions of CUDA have other indexes.
ARG PADDLE=paddlepaddle-gpu==3.2.2
ARG PADDLE_INDEX=https://www.paddlepaddle.org.cn/packages/stable/cu126/
RUN uv pip install --extra-index-url "$PADDLE_INDEX" --index-strategy unsafe-best-match \
    --constraints infra/image/gpu.txt "$PADDLE"
COPY --from=wheel /dist /dist
RUN uv pip install --no-deps /dist/*.whl
COPY infra/image/inventory.py infra/image/
# Paddle comes from its own index, with the libraries of NVIDIA that it names.
RUN /opt/bucket-ocr/bin/python infra/image/inventory.py infra/image/gpu.txt /opt/bucket-ocr/share/doc/bucket-ocr \
      --beside paddlepaddle-gpu --beside 'nvidia-*'


FROM ${BASE} AS runtime
LABEL org.opencontainers.image.title="bucket-ocr" \
      org.opencontainers.image.description="OCR for S3 buckets: upload a document, get its text with boxes next to it"
# The base image's installer is not needed, and would be useful to an intruder.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/* \
    && groupadd --gid 10001 bucket-ocr \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bucket-ocr \
    && mkdir /work /models && chown 10001:10001 /work
ENV PATH=/opt/bucket-ocr/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PADDLE_PDX_CACHE_HOME=/models \
    BUCKET_OCR_WORK_DIR=/work \
    BUCKET_OCR_HEALTH_HOST=0.0.0.0 \
    BUCKET_OCR_HEALTH_PORT=8080
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; p = os.environ['BUCKET_OCR_HEALTH_PORT']; p == '0' or r.build_opener(r.ProxyHandler({})).open(f'http://127.0.0.1:{p}/healthz', timeout=5)"]
ENTRYPOINT ["bucket-ocr"]
CMD ["run"]


FROM runtime AS cpu-runtime
# The Python packages, as their SBOM has them; the base image's own are beside that.
LABEL org.opencontainers.image.licenses="Apache-2.0 AND (Apache-2.0 OR BSD-3-Clause) AND (MIT OR Apache-2.0) AND 0BSD AND AGPL-3.0-only AND BSD-2-Clause AND BSD-3-Clause AND CC0-1.0 AND GPL-3.0-or-later WITH GCC-exception-3.1 AND ISC AND LGPL-2.1-only AND LGPL-2.1-or-later AND LGPL-3.0-or-later AND MIT AND MIT-CMU AND MPL-2.0 AND OpenSSL AND PSF-2.0 AND Zlib"
COPY --from=build-cpu /opt/bucket-ocr /opt/bucket-ocr


FROM cpu-runtime AS cpu-models
# If empty, nothing is fetched.
ARG LANGUAGES=
RUN BUCKET_OCR_LANGUAGES="$LANGUAGES" bucket-ocr models pull


FROM cpu-runtime AS cpu
ARG LANGUAGES=
# A setting of the container overrides it.
ENV BUCKET_OCR_LANGUAGES=$LANGUAGES
COPY --from=cpu-models /models /models
USER 10001:10001


FROM runtime AS gpu-runtime
LABEL org.opencontainers.image.licenses="Apache-2.0 AND (Apache-2.0 OR BSD-2-Clause) AND (Apache-2.0 OR BSD-3-Clause) AND (MIT OR Apache-2.0) AND 0BSD AND AGPL-3.0-only AND BSD-2-Clause AND BSD-3-Clause AND CNRI-Python AND GPL-3.0-or-later WITH GCC-exception-3.1 AND ISC AND LGPL-2.1-only AND LGPL-2.1-or-later AND LGPL-3.0-or-later AND LicenseRef-NVIDIA-Proprietary AND MIT AND MIT-0 AND MIT-CMU AND MPL-2.0 AND OpenSSL AND PSF-2.0 AND TCL AND Unlicense"
# Paddle needs OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build-gpu /opt/bucket-ocr /opt/bucket-ocr
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility


FROM gpu-runtime AS gpu-models
# A preset (fast, balanced, full), whose models become part of the image. If empty, they are mounted at /models.
ARG MODELS=
ARG LANGUAGES=
RUN if [ -n "$MODELS" ]; then \
      BUCKET_OCR_PIPELINE_CONFIG="$MODELS" BUCKET_OCR_LANGUAGES="$LANGUAGES" bucket-ocr models pull; \
    fi


FROM gpu-runtime AS gpu
ARG MODELS=
ARG LANGUAGES=
# Those of the models; settings of the container override them.
ENV BUCKET_OCR_PIPELINE_CONFIG=$MODELS \
    BUCKET_OCR_LANGUAGES=$LANGUAGES
COPY --from=gpu-models /models /models
USER 10001:10001
