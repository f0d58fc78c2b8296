#include "service/serial_task.h"

namespace pippin::service {

void SerialTask::notify() {
  if (notices_.fetch_add(1) > 0) return;
  workers_.post_turn([self = shared_from_this()] { self->run(); });
}

void SerialTask::run() {
  for (;;) {
    const uint64_t seen = notices_.load();
    step_();
    if (notices_.fetch_sub(seen) == seen) return;
  }
}

}  // namespace pippin::service
