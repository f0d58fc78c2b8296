// Says whether a submission can ever be served. Thread: any.
#pragma once

#include "base/model_inputs.h"
#include "base/result.h"
#include "engine/core/scheduler_options.h"
#include "engine/core/types.h"

namespace pippin::engine {

/// Checks a submission against the limits of a scheduler and what its model takes.
/// Errors: kInvalidArgument and kUnsupported, naming the field; kContextLength with both numbers.
Result<void> check_submission(const SchedulerOptions& options, const Submission& submission);

/// Checks what a submission states besides tokens, and asks for besides tokens.
/// Errors: kUnsupported, naming what the model does not take or give.
Result<void> check_inputs(const ModelInputs& inputs, const Submission& submission);

}  // namespace pippin::engine
