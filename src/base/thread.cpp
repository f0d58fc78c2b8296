#include "base/thread.h"

namespace pippin {
namespace {

/// Returns 0 or an error of pthread_create().
int start_thread(pthread_t* handle, void* (*run)(void*), void* argument) {
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes); error != 0) return error;
  size_t stack_bytes = 0;
  pthread_attr_getstacksize(&attributes, &stack_bytes);
  int error = 0;
  if (stack_bytes < Thread::kStackBytesMin)
    error = pthread_attr_setstacksize(&attributes, Thread::kStackBytesMin);
  if (error == 0) error = pthread_create(handle, &attributes, run, argument);
  pthread_attr_destroy(&attributes);
  return error;
}

}  // namespace

Thread::Thread(std::unique_ptr<Root> root) {
  pthread_t handle;
  const int error = start_thread(&handle, &run, root.get());
  if (error != 0) throw std::system_error(error, std::generic_category());
  static_cast<void>(root.release());  // run() owns it
  handle_ = handle;
}

void* Thread::run(void* root) {
  std::unique_ptr<Root>(static_cast<Root*>(root))->run();
  return nullptr;
}

void Thread::join() {
  if (handle_) pthread_join(*std::exchange(handle_, std::nullopt), nullptr);
}

}  // namespace pippin
