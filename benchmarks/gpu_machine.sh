#!/usr/bin/env bash
# Everything that needs a GPU, in one call of at most eight minutes and without a network: build for the GPU that is
# there, check every kernel, run the gpu tests, measure, look for memory errors and races. The steps that tell most come
# first, each with a time limit of its own; what each found is in the folder when it ends. A step that fails or runs out
# of time does not stop the others.
#
#   bash benchmarks/gpu_machine.sh [folder for results]
#
# It needs Python with torch (CUDA build), scikit-build-core, pybind11, cmake, ninja, pytest, hypothesis, scipy, pillow,
# safetensors, typer, rich and xxhash installed already.
#
#   ATTRX_SITE=FOLDER bash benchmarks/gpu_machine.sh OUT
#
# is a rehearsal on the emulated device (make emulate): the package in FOLDER is taken instead of built, and what cannot
# be had without a GPU (its time) is left out.
set -u
cd "$(dirname "$0")/.."
OUT=${1:-benchmarks/results}
PYTHON=$(command -v "${PYTHON:-python3}") || exit
[[ $PYTHON == /* ]] || PYTHON=$PWD/$PYTHON
SECONDS_IN_ALL=${SECONDS_IN_ALL:-480}
REHEARSAL=${ATTRX_SITE:+yes}
mkdir -p "$OUT" build/gpu
OUT=$(cd "$OUT" && pwd)
ROOT=$PWD
SITE=${ATTRX_SITE:-$ROOT/build/gpu/site}
export OUT PYTHON ROOT SITE PYTHONPATH=$SITE PYTHONUNBUFFERED=1
SUMMARY=$OUT/gpu_machine.txt
: >"$SUMMARY"
failed=()

say() { echo "$*" | tee -a "$SUMMARY"; }

# step NAME LIMIT COMMAND: run a function below for at most LIMIT seconds.
step() {
  local name=$1 limit=$2 begun=$SECONDS left=$((SECONDS_IN_ALL - SECONDS))
  shift 2
  ((limit > left)) && limit=$left
  if ((limit < 5)); then
    say "$name: left out, no time"
    failed+=("$name")
    return
  fi
  timeout --kill-after=5 "$limit" bash -c "$(declare -f "$1"); $*" >"$OUT/$name.log" 2>&1
  local code=$?
  tail -n 25 "$OUT/$name.log"
  case $code in
    0) say "$name: done in $((SECONDS - begun)) s" ;;
    124 | 137) say "$name: STOPPED after $limit s" && failed+=("$name") ;;
    *) say "$name: FAILED (exit $code) after $((SECONDS - begun)) s" && failed+=("$name") ;;
  esac
}

build() {
  rm -rf build/gpu/site
  arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
  "$PYTHON" -m pip install --quiet --no-build-isolation --no-deps --no-index --target build/gpu/site \
    -C cmake.define.ATTRX_CUDA=ON -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$arch-real" \
    -C cmake.define.ATTRX_PTXAS_VERBOSE=ON -C build-dir=build/gpu/cmake . || exit
  # From another folder: these sources have no native module.
  cd build/gpu && "$PYTHON" -c "import pyattrx; print(pyattrx.ops.backends(), pyattrx.__file__)"
}

smoke() { cd build/gpu && "$PYTHON" -P "$ROOT/benchmarks/gpu_smoke.py"; }

# compute-sanitizer slows each launch a hundredfold.
sanitize() { cd build/gpu && compute-sanitizer --tool "$1" --error-exitcode 9 "$PYTHON" -P "$ROOT/benchmarks/gpu_smoke.py" --few; }

# -P: the sources in this folder must not hide the package with the native module.
# Tests that are all skipped have shown nothing.
tests() {
  set -o pipefail
  "$PYTHON" -P -m pytest -q --maxfail=20 -p no:cacheprovider "$@" | tee "$OUT/tests.txt" || exit
  grep -q ' passed' "$OUT/tests.txt"
}

measure() { "$PYTHON" -P -m pyattrx.benchmarks gpu --part "$1" --out "$OUT/gpu-$1.json"; }

if [[ -z $REHEARSAL ]]; then
  say "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)"
  step build 150 build
  step smoke 60 smoke
  step tests 90 tests -m gpu tests/test_ops_cuda.py tests/probes/test_probes_tensors.py \
    tests/affinities/test_feeding.py tests/encoders/test_compiling.py tests/benchmarks/test_benchmarks.py
  step pass 150 measure pass
  step ops 90 measure ops
  step memcheck 60 sanitize memcheck
  step racecheck 60 sanitize racecheck
else
  say "a rehearsal without a GPU"
  step smoke 300 smoke
  step tests 120 tests -k "'sketch and not dtype2'" tests/test_ops_cuda.py
fi

say "$SECONDS s in all"
if ((${#failed[@]})); then
  say "failed: ${failed[*]}"
  exit 1
fi
