// What a step needs on a GPU beside its tokens: shapes padded to buckets, tables sent once.
// Thread: the device thread.
#pragma once

#include "nn/backend/step_batch.h"
#include "nn/cuda/transfer.h"

namespace pippin::nn::cuda {

/// Returns the padded size of n tokens or rows: few sizes, so that MLX's graphs and kernels are met
/// again.
int bucket(int n);

/// Pads the batch's tokens and logit rows to buckets and fills the groups' tables on the device.
/// Padding reads and writes the last block of each group only.
void send_to_device(StepBatch& batch, const KvPlan& plan, Transfer& transfer);

}  // namespace pippin::nn::cuda
