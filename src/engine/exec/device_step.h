// What a step needs beside its tokens when it runs on a GPU: shapes padded to buckets, tables sent
// once, rows whose token the device can pick. Thread: the device thread.
#pragma once

#include "engine/core/types.h"
#include "nn/cuda/transfer.h"
#include "nn/kv/kv_cache.h"
#include "nn/ops/step_batch.h"

namespace pippin::engine {

/// Returns the padded size of n tokens or rows: few sizes, so that MLX's graphs and kernels are met
/// again.
int bucket(int n);

/// Pads the batch's tokens and logit rows to buckets and fills the places' device arrays. Padding
/// reads and writes the last block of each group only.
void send_to_device(nn::StepBatch& batch, const KvPlan& plan, nn::cuda::Transfer& transfer);

/// Returns whether the next token is the largest logit, with nothing that edits the logits or asks
/// for more than the id.
bool is_plain_greedy(const Submission& submission);

}  // namespace pippin::engine
