#include <cuda_runtime.h>

#include "attrx/ops.h"

namespace attrx::cuda {

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // a machine without a GPU must not make the next launch look failed
  return 0;
}

}  // namespace attrx::cuda
