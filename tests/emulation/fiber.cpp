#include "tests/emulation/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

// The interfaces of the sanitizers' runtimes: null where there is no runtime.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** save, const void* bottom, std::size_t);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* saved, const void** bottom, std::size_t*);
[[gnu::weak]] void __asan_poison_memory_region(const volatile void*, std::size_t);
[[gnu::weak]] void __asan_unpoison_memory_region(const volatile void*, std::size_t);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
[[gnu::weak]] void __tsan_java_init(std::uintptr_t heap, std::uintptr_t bytes);
[[gnu::weak]] void __tsan_java_alloc(std::uintptr_t address, std::uintptr_t bytes);
[[gnu::weak]] void __tsan_java_free(std::uintptr_t address, std::uintptr_t bytes);

// Pushes what a call has to preserve, leaves the stack pointer in *left, and goes on where another
// stack was left, `entered`.
void attrx_switch_stacks(void** left, void* entered);
}

asm(R"(
  .text
  .local attrx_switch_stacks
  .type attrx_switch_stacks, @function
attrx_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size attrx_switch_stacks, . - attrx_switch_stacks
)");

namespace attrx::emulation {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kStack = 128 << 10;
constexpr std::size_t kWord = 8;
constexpr int kPreserved = 6;          // registers that a switch pushes
constexpr unsigned kWithoutOrder = 1;  // a switch tells ThreadSanitizer nothing of memory order

// Whoever resumed the running fiber; there is one at a time.
struct {
  void* top;
  void* fake_stack;
  const void* stack;
  std::size_t stack_bytes;
  void* thread;
} resumer;
Fiber* running;

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) throw std::bad_alloc();
  stack_ = static_cast<char*>(memory) + kPage;
  if (__tsan_create_fiber != nullptr) thread_ = __tsan_create_fiber(0);
}

Fiber::~Fiber() {
  if (thread_ != nullptr) __tsan_destroy_fiber(thread_);
  munmap(stack_ - kPage, kPage + kStack);
}

void Fiber::start(void (*body)()) {
  if (unfinished_) permit(stack_, kStack);  // redzones of frames that were never left
  unfinished_ = true;
  body_ = body;
  // A call pushes the address it returns to: enter() finds the stack as if it had been called.
  auto** top = reinterpret_cast<void**>(stack_ + kStack) - 1;
  *top = nullptr;
  *--top = reinterpret_cast<void*>(&Fiber::enter);
  top -= kPreserved;
  std::memset(top, 0, kPreserved * sizeof *top);
  top_ = top;
}

void Fiber::enter() {
  if (__sanitizer_finish_switch_fiber != nullptr) {
    __sanitizer_finish_switch_fiber(nullptr, &resumer.stack, &resumer.stack_bytes);
  }
  running->body_();
  running->unfinished_ = false;
  running->prepare_to_leave(nullptr);
  attrx_switch_stacks(&running->top_, resumer.top);
}

void Fiber::resume() {
  running = this;
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(&resumer.fake_stack, stack_, kStack);
  }
  if (__tsan_switch_to_fiber != nullptr) {
    resumer.thread = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(thread_, kWithoutOrder);
  }
  attrx_switch_stacks(&resumer.top, top_);
  if (__sanitizer_finish_switch_fiber != nullptr) {
    __sanitizer_finish_switch_fiber(resumer.fake_stack, nullptr, nullptr);
  }
}

void Fiber::pause() {
  Fiber* self = running;
  self->prepare_to_leave(&self->fake_stack_);
  attrx_switch_stacks(&self->top_, resumer.top);
  if (__sanitizer_finish_switch_fiber != nullptr) {
    __sanitizer_finish_switch_fiber(self->fake_stack_, &resumer.stack, &resumer.stack_bytes);
  }
}

void Fiber::abandon(const void* token) {
  if (__tsan_switch_to_fiber == nullptr) return;
  void* here = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(thread_, kWithoutOrder);
  release(token);
  __tsan_switch_to_fiber(here, kWithoutOrder);
}

void Fiber::prepare_to_leave(void** fake_stack) {
  if (__sanitizer_start_switch_fiber != nullptr) {
    __sanitizer_start_switch_fiber(fake_stack, resumer.stack, resumer.stack_bytes);
  }
  if (__tsan_switch_to_fiber != nullptr) __tsan_switch_to_fiber(resumer.thread, kWithoutOrder);
}

bool watching_for_races() { return __tsan_create_fiber != nullptr; }

void release(const void* token) {
  if (__tsan_release != nullptr) __tsan_release(const_cast<void*>(token));
}

void acquire(const void* token) {
  if (__tsan_acquire != nullptr) __tsan_acquire(const_cast<void*>(token));
}

void forbid(const void* memory, std::size_t bytes) {
  if (__asan_poison_memory_region != nullptr) __asan_poison_memory_region(memory, bytes);
}

void permit(const void* memory, std::size_t bytes) {
  if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(memory, bytes);
}

// ThreadSanitizer forgets memory that is allocated anew. Of memory that is not from malloc it hears
// through its interface for virtual machines, of whose heap this is the only block.
void forget_accesses(const void* memory, std::size_t bytes) {
  if (__tsan_java_init == nullptr) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(memory) / kWord * kWord;
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes + kWord - 1) / kWord * kWord;
  static const bool declared = (__tsan_java_init(begin, end - begin), true);
  if (declared) __tsan_java_free(begin, end - begin);
  __tsan_java_alloc(begin, end - begin);
}

}  // namespace attrx::emulation
