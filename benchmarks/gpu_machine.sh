#!/usr/bin/env bash
# Everything that needs a GPU, in one call and without a network: build for the GPU that is there,
# run the gpu tests, look for memory errors and races, measure. Results go to the folder given (or
# benchmarks/results); a step that fails is reported at the end and does not stop the others.
#
#   bash benchmarks/gpu_machine.sh [folder for results]
#
# It needs Python with torch (CUDA build), scikit-build-core, pybind11, cmake, ninja, pytest,
# hypothesis, scipy, pillow, safetensors, typer and rich installed already.
set -u
cd "$(dirname "$0")/.."
OUT=${1:-benchmarks/results}
PYTHON=${PYTHON:-python3}
mkdir -p "$OUT" build/gpu
ARCH=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
export PYTHONPATH=$PWD/build/gpu/site PYTHONUNBUFFERED=1
failed=()

step() {
  local name=$1 begun=$SECONDS
  shift
  echo "== $name"
  if "$@"; then echo "== $name: done in $((SECONDS - begun)) s"; else
    echo "== $name: FAILED (exit $?) after $((SECONDS - begun)) s"
    failed+=("$name")
  fi
}

build() {
  rm -rf build/gpu/site
  "$PYTHON" -m pip install --quiet --no-build-isolation --no-deps --no-index --target build/gpu/site \
    -C cmake.define.ATTRX_CUDA=ON -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$ARCH-real" \
    -C cmake.define.ATTRX_PTXAS_VERBOSE=ON -C build-dir=build/gpu/cmake . &&
    # The tests must see the installed package, which has the native module.
    (cd build/gpu && PYTHONPATH=site "$PYTHON" -c "import pyattrx; print(pyattrx.ops.backends(), pyattrx.__file__)")
}

pytest_installed() {
  PYTHONPATH=$PWD/build/gpu/site "$PYTHON" -P -m pytest -q -p no:cacheprovider "$@"
}

# One small call of every op and path; compute-sanitizer slows each launch a hundredfold.
sanitize() {
  (cd build/gpu && PYTHONPATH=site compute-sanitizer --tool "$1" --error-exitcode 9 \
    "$PYTHON" ../../benchmarks/gpu_smoke.py)
}

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
step build build
step "gpu tests" pytest_installed -m gpu tests/test_ops_cuda.py \
  tests/probes/test_probes_tensors.py tests/affinities/test_feeding.py tests/encoders/test_compiling.py
step memcheck sanitize memcheck
step racecheck sanitize racecheck
# -P: the sources in this folder must not hide the installed package.
step "gpu benchmark" "$PYTHON" -P -m pyattrx.benchmarks gpu --out "$OUT/gpu.json"

if ((${#failed[@]})); then
  echo "failed: ${failed[*]}"
  exit 1
fi
