#!/bin/sh
# Test and measure the device of CSPOPS_DEVICE in less than eight minutes:  benchmarks/gpu.sh [gpu.json]
# Run from the project's root, with its Python first in PATH. Without a GPU the sizes are cut, and the figures are the CPU path's.
set -u
out=${1:-gpu.json}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH}

# the tests that ask whether there is a GPU; on a machine without one they are skipped, or take the CPU
timeout 150 python -m pytest -q -p no:cacheprovider -o addopts="" -n 0 $(grep -rl --include='test_*.py' 'cuda\.is_available' tests) 2>&1 | tee "$log"
tests=$(tail -n 1 "$log")

timeout 320 python -m benchmarks.gpu --out "$out" --seconds 240 --tests "$tests"
status=$?
case $tests in *failed*|*error*) status=1 ;; esac
exit $status
