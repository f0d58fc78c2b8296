// NoMoreThreads: while it lives, the system starts no further threads in this process. Owner: a
// test. Thread: one at a time.
#pragma once

#include <pthread.h>

#include "base/check.h"

namespace pippin::testing {

class NoMoreThreads {
 public:
  /// Returns whether that can be had here.
  static constexpr bool possible() {
#ifdef __GLIBC__
    return true;
#else
    return false;
#endif
  }

#ifdef __GLIBC__
  NoMoreThreads() {
    CHECK(pthread_getattr_default_np(&before_) == 0);
    pthread_attr_t huge = {};
    CHECK(pthread_attr_init(&huge) == 0);
    CHECK(pthread_attr_setstacksize(&huge, size_t{1} << 47) == 0);  // more than there are addresses
    CHECK(pthread_setattr_default_np(&huge) == 0);
    pthread_attr_destroy(&huge);
  }
  ~NoMoreThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
#else
  NoMoreThreads() = default;
#endif
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
#ifdef __GLIBC__
  pthread_attr_t before_ = {};
#endif
};

}  // namespace pippin::testing
