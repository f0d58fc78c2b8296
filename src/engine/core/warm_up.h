// warm_up: a few made-up answers, before the first user waits for a device that compiles its
// kernels when they are first used. Thread: the device thread.
#pragma once

#include "base/result.h"
#include "engine/core/runner.h"
#include "engine/core/scheduler.h"

namespace pippin::engine {

/// Answers prompts of several lengths, alone and together, greedily and by draws. Leaves nothing
/// behind but garbage in blocks that nobody holds. Errors: the first answer's.
Result<void> warm_up(Runner& runner, const SchedulerOptions& options);

}  // namespace pippin::engine
