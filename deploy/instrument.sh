#!/usr/bin/env bash
# A wrapper around the compiler for the workspace's own crates: counts what runs. Dependencies are left as they are.
exec "$@" -C instrument-coverage
