#include "service/strand.h"

#include "base/log.h"

namespace pippin::service {

void Strand::ring() {
  if (rings_.fetch_add(1) > 0) return;
  if (workers_.post([self = shared_from_this()] { self->run(); })) return;
  rings_.store(0);  // the next ring tries again
  log::error("[strand] the worker pool refused an answer's turn");
}

void Strand::run() {
  for (;;) {
    const uint64_t seen = rings_.load();
    step_();
    if (rings_.fetch_sub(seen) == seen) return;
  }
}

}  // namespace pippin::service
