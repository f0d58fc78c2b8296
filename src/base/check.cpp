#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pippin {

void check_failed(const char* expression, const char* message, const char* file, int line) {
  std::fprintf(stderr, "CHECK failed: %s %s at %s:%d\n", expression, message, file, line);
  std::abort();
}

}  // namespace pippin
