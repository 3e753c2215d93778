# syntax=docker/dockerfile:1

# Each step is a script under docker/, so that tests run it without a Docker engine.
# docker build -t moodline .

FROM python:3.11.14-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# What changes rarely: the locked packages.
FROM base AS dependencies
COPY docker/install_dependencies.sh /build/docker/
COPY requirements/otel.lock /build/requirements/
RUN /build/docker/install_dependencies.sh /opt/moodline /build/requirements/otel.lock

FROM base AS model
COPY docker/verify_model.sh /build/docker/
COPY models/moodline-base /models/moodline-base
RUN /build/docker/verify_model.sh /models/moodline-base

FROM base AS wheel
WORKDIR /build
COPY docker/install_dependencies.sh docker/
COPY requirements/build.lock requirements/
RUN docker/install_dependencies.sh /opt/build requirements/build.lock
COPY docker/build_wheel.sh docker/
COPY LICENSE README.md THIRD_PARTY_NOTICES.md pyproject.toml ./
COPY service service
RUN docker/build_wheel.sh /opt/build . /dist

FROM base AS server
COPY --from=dependencies /opt/moodline /opt/moodline
COPY --from=model /models/moodline-base /models/moodline-base
RUN --mount=type=bind,source=docker,target=/build/docker \
    --mount=type=bind,from=wheel,source=/dist,target=/dist \
    /build/docker/install_wheel.sh /opt/moodline /dist

# Reachable from outside the container, so it starts only with MOODLINE_AUTH__TOKENS_FILE.
ENV PATH=/opt/moodline/bin:$PATH \
    MOODLINE_SERVER__HOST=0.0.0.0 \
    MOODLINE_ENGINE__MODEL_DIR=/models/moodline-base \
    MOODLINE_STORE__URL=sqlite:////var/lib/moodline/moodline.db
# Signals outlive the container if a volume is mounted here.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/moodline
VOLUME /var/lib/moodline
WORKDIR /tmp
USER 10001:10001
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["moodline", "probe"]
ENTRYPOINT ["moodline", "serve"]
