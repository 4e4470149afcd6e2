# One static binary in an empty image: no shell, no package manager, not root, and nothing to write to but /data.
FROM docker.io/library/rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev gcc make ca-certificates
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY mappings mappings
COPY templates templates
COPY README.md ./
RUN cargo build --release --locked --bin argocd-cdevents && mkdir /empty

FROM scratch
COPY --from=build /src/target/release/argocd-cdevents /argocd-cdevents
# For sinks with https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 --chmod=0700 /empty /data
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    ARGOCD_CDEVENTS__DATA=/data \
    MIMALLOC_ARENA_EAGER_COMMIT=0
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/argocd-cdevents"]
CMD ["serve"]
