// latent_attention: attention over compressed keys and values (multi-head latent attention, MLA).
// Thread: the device thread.
#pragma once

#include "nn/backend/backend.h"

namespace pippin::nn {

/// Writes each position's compressed values and its turned key, R + P values in all, and attends in
/// the absorbed form: queries are brought to the compressed space, and what they gather back from
/// it. Shapes: q [T, H (N + P)], kv [T, R + P] with the first R normed -> [T, H V]. Tolerance: f16
/// rounding of what is kept, about 2e-3 of the largest value.
/// Source: DeepSeek-AI, DeepSeek-V2, 2024, section 2.1 and appendix C.
mx::array latent_attention(Backend& on, const LatentSpec& spec, const mx::array& q,
                           const mx::array& kv, const StepBatch& batch, KvLayerStore& store);

}  // namespace pippin::nn
