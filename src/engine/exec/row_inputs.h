// What rows of a plan state besides their tokens, as a batch carries it: positions, spans that see
// both ways, embeddings in place of ids. Thread: the device thread.
#pragma once

#include "base/model_inputs.h"
#include "base/result.h"
#include "engine/core/step_plan.h"
#include "engine/core/types.h"
#include "nn/backend/step_batch.h"

namespace pippin::engine {

/// Appends the positions of a row, with batch.position_components each. A text's place, and a
/// stated position of one component, stands for all of them.
void add_positions(nn::StepBatch& batch, const PlanRow& row);

/// Appends a row's spans and the embeddings of its media; `first` is the index of its first token.
/// Requires: check_runnable().
void add_media(nn::StepBatch& batch, int first, const PlanRow& row, const Submission& submission);

/// Checks what a submission states against what a model takes that has no encoder of its own.
/// Errors: kUnsupported, naming the field.
Result<void> check_runnable(const ModelInputs& inputs, const Submission& submission);

}  // namespace pippin::engine
