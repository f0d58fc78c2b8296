#include "service/strand.h"

namespace pippin::service {

void Strand::ring() {
  if (rings_.fetch_add(1) > 0) return;
  workers_.post_turn([self = shared_from_this()] { self->run(); });
}

void Strand::run() {
  for (;;) {
    const uint64_t seen = rings_.load();
    step_();
    if (rings_.fetch_sub(seen) == seen) return;
  }
}

}  // namespace pippin::service
