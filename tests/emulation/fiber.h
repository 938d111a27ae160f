// Flows of control with stacks of their own, which take turns in one thread of the host. They tell
// AddressSanitizer of their stacks, and are threads of their own to ThreadSanitizer.
#pragma once

#include <cstddef>

namespace attrx::emulation {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes ready to call `body` from its beginning; a call that was left unfinished is forgotten.
  void start(void (*body)());
  // Goes on until the body pauses or returns. A fiber whose body has returned is not resumed.
  void resume();
  // Back to whoever resumed the running fiber.
  static void pause();
  // Does not go on. What it has done is released with a token, as if it had come to its end.
  void abandon(const void* token);

 private:
  static void enter();
  void prepare_to_leave(void** fake_stack);

  char* stack_;          // with a page below that nobody may touch
  void* top_ = nullptr;  // where the stack was left
  void (*body_)() = nullptr;
  bool unfinished_ = false;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* thread_ = nullptr;      // ThreadSanitizer's
};

// ---- The sanitizers, where the program is built with one ----------------------------------------

bool watching_for_races();

// Memory order: what happened before a release of a token happened before a later acquire of it.
void release(const void* token);
void acquire(const void* token);

// Nobody may touch it; and now anybody may.
void forbid(const void* memory, std::size_t bytes);
void permit(const void* memory, std::size_t bytes);

// ThreadSanitizer forgets who touched this memory, which is the same each time.
void forget_accesses(const void* memory, std::size_t bytes);

}  // namespace attrx::emulation
