#include "tests/emulation/device.h"

#include <link.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/emulation/fiber.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace attrx::cuda {
alignas(64) thread_local double shared[kSharedDoubles];
}

namespace attrx::emulation {
namespace {

constexpr unsigned char kUnwritten = 0xff;  // NaN as a float or a double, -1 as an integer
constexpr unsigned char kGuarded = 0xa5;
constexpr unsigned kMostMasks = 16;  // that __syncwarp() is called with in one warp
// Fibers under ThreadSanitizer, which takes 0.8 MB for each: so many threads, of 4 blocks of 512,
// are known to be in no order.
constexpr unsigned kWatchedThreads = 2048;

// Neither is seen by a sanitizer, whose memset() would be an access of its own.
void fill(void* to, unsigned char value, std::size_t bytes) {
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
}

bool is_filled(const void* memory, unsigned char value, std::size_t bytes) {
  const auto* first = static_cast<const unsigned char*>(memory);
  return std::all_of(first, first + bytes, [&](unsigned char byte) { return byte == value; });
}

std::string hexadecimal(unsigned mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// All shared memory is thread_local, and nothing else in this library is: its segment of thread-
// local storage is the kernels' static shared memory and attrx::cuda::shared.
struct Segment {
  char* begin = nullptr;
  std::size_t bytes = 0;
};

Segment shared_segment() {
  static_cast<volatile double&>(cuda::shared[0]) = 0;  // a segment is allocated by its first use
  Segment segment;
  const auto find = [](dl_phdr_info* library, std::size_t, void* found) {
    auto* begin = static_cast<char*>(library->dlpi_tls_data);
    if (begin == nullptr) return 0;
    for (int i = 0; i < library->dlpi_phnum; ++i) {
      const auto& header = library->dlpi_phdr[i];
      const auto* dynamic = reinterpret_cast<char*>(cuda::shared);
      if (header.p_type != PT_TLS || dynamic < begin || dynamic >= begin + header.p_memsz) continue;
      *static_cast<Segment*>(found) = {begin, header.p_memsz};
      return 1;
    }
    return 0;
  };
  dl_iterate_phdr(find, &segment);
  return segment;
}

// The order in which blocks, warps and lanes take turns.
class Order {
 public:
  Order() {
    const char* setting = std::getenv("ATTRX_EMULATED_ORDER");
    const std::string name = setting == nullptr ? "ascending" : setting;
    descending_ = name == "descending";
    if (name != "ascending" && !descending_) random_.emplace(std::stoull(name));
  }

  std::vector<unsigned> of(unsigned count) {
    std::vector<unsigned> turns(count);
    std::iota(turns.begin(), turns.end(), 0u);
    if (descending_) std::reverse(turns.begin(), turns.end());
    shuffle(turns);
    return turns;
  }

  void shuffle(std::vector<unsigned>& turns) {
    if (random_) std::shuffle(turns.begin(), turns.end(), *random_);
  }

 private:
  bool descending_ = false;
  std::optional<std::minstd_rand> random_;
};

// Two tokens of memory order, in turns: what a thread does between two meetings must not seem to
// have happened before the first of them.
struct Meetings {
  std::array<char, 2> tokens;
  unsigned held = 0;

  const void* token() const { return &tokens[held % 2]; }
};

struct Thread {
  Fiber fiber;
  WarpCall call;
  unsigned mask, from;
  std::uint64_t given, got;
};

// Bits of lanes. A lane in none of them is running.
struct Warp {
  unsigned ready, at_barrier, in_call, returned;
  struct {
    unsigned mask;
    Meetings meetings;
  } synchronized[kMostMasks];  // of __syncwarp(), first come, first there

  Meetings* meetings(unsigned mask) {
    for (auto& one : synchronized) {
      if (one.mask == 0) one.mask = mask;
      if (one.mask == mask) return &one.meetings;
    }
    return nullptr;
  }
};

class Device {
 public:
  // There is one, which runs one launch at a time, whichever thread of the host asks.
  static Device& get() {
    static Device device;
    return device;
  }

  cudaError_t run(const cudaLaunchConfig_t& config, const void* kernel, void (*body)(const void*),
                  const void* arguments);
  cudaError_t allow(const void* kernel, int bytes);

  // Called by the running fiber.
  void synchronize_block();
  std::uint64_t call_warp(WarpCall call, unsigned mask, std::uint64_t bits, unsigned from);

  cudaError_t take_error() { return std::exchange(error_, cudaSuccess); }
  const char* message() const { return message_.c_str(); }

 private:
  Warp& running_warp() { return warps_[threadIdx.x / kWarp]; }
  static unsigned running_bit() { return 1u << lane(); }
  Thread& thread(unsigned index) const { return *threads_[first_thread_ + index]; }

  void begin_block();
  void run_block(Order& order);
  static void run_thread();
  bool all_have_called(const Warp& warp, const Thread& caller) const;
  void answer(Warp& warp, const Thread& caller);
  std::string why_stuck() const;
  void fail_thread(const std::string& why);
  cudaError_t fail(cudaError_t error, const std::string& why);

  std::mutex mutex_;
  std::map<const void*, std::size_t> allowed_;  // dynamic shared memory, where a kernel asked
  cudaError_t error_ = cudaSuccess;
  std::string message_;

  // The launch.
  void (*body_)(const void*);
  const void* arguments_;
  std::size_t shared_bytes_;
  Segment segment_;
  char begun_, ended_;  // tokens: its threads come after the one, and before the other

  // The block. Blocks take turns at sets of threads where ThreadSanitizer shall not take the end of
  // one for the reason of the next.
  std::vector<std::unique_ptr<Thread>> threads_;
  unsigned first_thread_;
  std::vector<Warp> warps_;
  std::unique_ptr<Meetings> barrier_;
  unsigned at_barrier_, returned_;
};

cudaError_t Device::run(const cudaLaunchConfig_t& config, const void* kernel,
                        void (*body)(const void*), const void* arguments) {
  const std::lock_guard lock(mutex_);
  error_ = cudaSuccess;
  const auto [blocks, grid_y, grid_z] = config.gridDim;
  const auto [threads, block_y, block_z] = config.blockDim;
  if (blocks == 0 || blocks > kMostBlocks || grid_y != 1 || grid_z != 1 || threads == 0 ||
      threads > kMostThreads || block_y != 1 || block_z != 1) {
    return fail(
        cudaErrorInvalidConfiguration,
        "invalid configuration: " + counted(blocks, "block") + " of " + counted(threads, "thread"));
  }
  const auto allowed = allowed_.find(kernel);
  const std::size_t most = allowed == allowed_.end() ? kSharedMemory : allowed->second;
  if (config.dynamicSmemBytes > most) {
    return fail(cudaErrorInvalidValue, counted(config.dynamicSmemBytes, "byte") +
                                           " of dynamic shared memory, where at most " +
                                           std::to_string(most) + " are allowed");
  }
  body_ = body;
  arguments_ = arguments;
  shared_bytes_ = config.dynamicSmemBytes;
  segment_ = shared_segment();
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  const unsigned sets = watching_for_races() ? std::max(kWatchedThreads / threads, 1u) : 1;
  release(&begun_);
  Order order;
  unsigned set = 0;
  for (const unsigned block : order.of(blocks)) {
    blockIdx.x = block;
    first_thread_ = set * threads;
    set = (set + 1) % sets;
    while (threads_.size() < first_thread_ + threads) {
      threads_.push_back(std::make_unique<Thread>());
    }
    begin_block();
    run_block(order);
    if (error_ == cudaSuccess) continue;
    for (unsigned t = 0; t < threads; ++t) thread(t).fiber.abandon(&ended_);
    break;
  }
  acquire(&ended_);
  return error_;
}

cudaError_t Device::allow(const void* kernel, int bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > kMostSharedMemory) {
    return fail(cudaErrorInvalidValue,
                "a limit of " + std::to_string(bytes) + " bytes of dynamic shared memory");
  }
  allowed_[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}

void Device::begin_block() {
  permit(segment_.begin, segment_.bytes);
  forget_accesses(segment_.begin, segment_.bytes);
  auto* dynamic = reinterpret_cast<char*>(cuda::shared);
  char* dynamic_end = dynamic + sizeof cuda::shared;
  fill(segment_.begin, kUnwritten, dynamic - segment_.begin);
  fill(dynamic_end, kUnwritten, segment_.begin + segment_.bytes - dynamic_end);
  fill(dynamic, kUnwritten, shared_bytes_);
  fill(dynamic + shared_bytes_, kGuarded, kGuard);
  forbid(dynamic + shared_bytes_, sizeof cuda::shared - shared_bytes_);

  barrier_ = std::make_unique<Meetings>();
  at_barrier_ = returned_ = 0;
  warps_ = std::vector<Warp>((blockDim.x + kWarp - 1) / kWarp);  // with tokens of its own
  for (unsigned t = 0; t < blockDim.x; ++t) {
    warps_[t / kWarp].ready |= 1u << t % kWarp;
    thread(t).fiber.start(&Device::run_thread);
  }
}

void Device::run_block(Order& order) {
  std::vector<unsigned> warp_turns = order.of(static_cast<unsigned>(warps_.size()));
  std::vector<unsigned> lane_turns = order.of(kWarp);
  while (returned_ < blockDim.x) {
    bool went_on = false;
    order.shuffle(warp_turns);
    for (const unsigned w : warp_turns) {
      // Ahead of the other warps as far as it gets.
      while (warps_[w].ready != 0) {
        order.shuffle(lane_turns);
        for (const unsigned turn : lane_turns) {
          if ((warps_[w].ready >> turn & 1) == 0) continue;
          warps_[w].ready &= ~(1u << turn);
          threadIdx.x = w * kWarp + turn;
          thread(threadIdx.x).fiber.resume();
          if (error_ != cudaSuccess) return;
          went_on = true;
        }
      }
    }
    if (!went_on) {
      fail(cudaErrorLaunchFailure, why_stuck());
      return;
    }
  }
  const char* end = reinterpret_cast<char*>(cuda::shared) + shared_bytes_;
  permit(end, kGuard);
  if (!is_filled(end, kGuarded, kGuard)) {
    fail(cudaErrorLaunchFailure, "block " + std::to_string(blockIdx.x) + " wrote past its " +
                                     counted(shared_bytes_, "byte") + " of dynamic shared memory");
  }
}

void Device::run_thread() {
  Device& device = get();
  acquire(&device.begun_);
  device.body_(device.arguments_);
  device.running_warp().returned |= running_bit();
  ++device.returned_;
  release(&device.ended_);
}

void Device::synchronize_block() {
  const void* token = barrier_->token();
  release(token);
  running_warp().at_barrier |= running_bit();
  if (++at_barrier_ == blockDim.x) {
    at_barrier_ = 0;
    ++barrier_->held;
    for (Warp& warp : warps_) warp.ready = std::exchange(warp.at_barrier, 0);
  }
  Fiber::pause();
  acquire(token);
}

std::uint64_t Device::call_warp(WarpCall call, unsigned mask, std::uint64_t bits, unsigned from) {
  Warp& warp = running_warp();
  Meetings* meetings = call == WarpCall::sync ? warp.meetings(mask) : nullptr;
  if ((mask & running_bit()) == 0) {
    fail_thread("is not in its own mask " + hexadecimal(mask));
  } else if (call == WarpCall::shuffle && (mask >> from & 1) == 0) {
    fail_thread("reads lane " + std::to_string(from) + ", which is not in the mask " +
                hexadecimal(mask));
  } else if (call == WarpCall::sync && meetings == nullptr) {
    fail_thread("calls __syncwarp with one mask too many");
  }
  if (error_ != cudaSuccess) Fiber::pause();  // nobody resumes it
  Thread& caller = thread(threadIdx.x);
  caller.call = call;
  caller.mask = mask;
  caller.given = bits;
  caller.from = from;
  warp.in_call |= running_bit();
  const void* token = meetings == nullptr ? nullptr : meetings->token();
  if (token != nullptr) release(token);
  if (all_have_called(warp, caller)) {
    if (meetings != nullptr) ++meetings->held;
    answer(warp, caller);
  }
  Fiber::pause();
  if (token != nullptr) acquire(token);
  return caller.got;
}

bool Device::all_have_called(const Warp& warp, const Thread& caller) const {
  if ((warp.in_call & caller.mask) != caller.mask) return false;
  const unsigned first = threadIdx.x - lane();
  for (unsigned l = 0; l < kWarp; ++l) {
    if ((caller.mask >> l & 1) == 0) continue;
    const Thread& other = thread(first + l);
    if (other.call != caller.call || other.mask != caller.mask) return false;
  }
  return true;
}

void Device::answer(Warp& warp, const Thread& caller) {
  const unsigned first = threadIdx.x - lane();
  std::uint64_t votes = 0;
  for (unsigned l = 0; l < kWarp; ++l) {
    if ((caller.mask >> l & 1) != 0 && thread(first + l).given != 0) votes |= 1u << l;
  }
  for (unsigned l = 0; l < kWarp; ++l) {
    if ((caller.mask >> l & 1) == 0) continue;
    Thread& member = thread(first + l);
    member.got = caller.call == WarpCall::vote ? votes : thread(first + member.from).given;
  }
  warp.in_call &= ~caller.mask;
  warp.ready |= caller.mask;
}

std::string Device::why_stuck() const {
  const std::string block = "block " + std::to_string(blockIdx.x);
  for (std::size_t w = 0; w < warps_.size(); ++w) {
    const Warp& warp = warps_[w];
    if (warp.in_call == 0) continue;
    unsigned first = 0;
    while ((warp.in_call >> first & 1) == 0) ++first;
    return block + ", warp " + std::to_string(w) + ": lanes " + hexadecimal(warp.in_call) +
           " wait, lane " + std::to_string(first) + " for all of " +
           hexadecimal(thread(static_cast<unsigned>(w) * kWarp + first).mask) + "; lanes " +
           hexadecimal(warp.at_barrier) + " wait at a barrier, lanes " +
           hexadecimal(warp.returned) + " have returned";
  }
  return block + ": " + std::to_string(at_barrier_) + " of " + counted(blockDim.x, "thread") +
         " wait at a barrier, the others have returned";
}

void Device::fail_thread(const std::string& why) {
  fail(cudaErrorLaunchFailure, "block " + std::to_string(blockIdx.x) + ", warp " +
                                   std::to_string(threadIdx.x / kWarp) + ": lane " +
                                   std::to_string(lane()) + " " + why);
}

cudaError_t Device::fail(cudaError_t error, const std::string& why) {
  error_ = error;
  message_ = why;
  return error;
}

}  // namespace

cudaError_t run_grid(const cudaLaunchConfig_t& config, const void* kernel,
                     void (*body)(const void*), const void* arguments) {
  return Device::get().run(config, kernel, body, arguments);
}

cudaError_t allow_dynamic_shared_memory(const void* kernel, int bytes) {
  return Device::get().allow(kernel, bytes);
}

void synchronize_block() { Device::get().synchronize_block(); }

std::uint64_t call_warp(WarpCall call, unsigned mask, std::uint64_t bits, unsigned from) {
  return Device::get().call_warp(call, mask, bits, from);
}

unsigned lane() { return threadIdx.x % kWarp; }

}  // namespace attrx::emulation

using attrx::emulation::Device;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return Device::get().take_error(); }

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : Device::get().message();
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
