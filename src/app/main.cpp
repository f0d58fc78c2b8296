#include <cstdlib>  // defines __GLIBC__ where it is

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "app/commands.h"
#include "base/guarded.h"

namespace {

/// Has large blocks given back to the system as they are freed. Left to itself glibc raises the
/// size from which it does so to that of the largest block ever freed: bodies of many megabytes
/// would stay with the process.
void give_back_large_blocks() {
#ifdef __GLIBC__
  constexpr int kLargeBytes = 4 << 20;
  mallopt(M_MMAP_THRESHOLD, kLargeBytes);
  mallopt(M_TRIM_THRESHOLD, kLargeBytes);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  give_back_large_blocks();
  int status = 1;
  static_cast<void>(
      pippin::guarded("[pippin]", [&] { status = pippin::app::run_command_line(argc, argv); }));
  return status;
}
