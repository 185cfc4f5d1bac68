# shellcheck shell=bash disable=SC2034
# Every version that is not in a lock file. pyproject.toml's pulumi must equal PULUMI_VERSION.
PYTHON_MIN=3.11
BASE_IMAGE=python:3.11-slim-bookworm
BASE_FALLBACK=vaporforge-base:bookworm
DEBIAN_SUITE=bookworm
PULUMI_VERSION=3.259.0
DYNAMODB_VERSION=3.1.0
DYNAMODB_IMAGE=amazon/dynamodb-local:3.1.0
DYNAMODB_FALLBACK=vaporforge-dynamodb-local:3.1.0
