// route: from a router's logits to the experts of a token and their weights. Each token is computed
// alone. Thread: any.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/types/router.h"

namespace pippin::nn::cpu {

/// Chooses a token's experts; best first. Shapes: logits [experts]; selection_bias [experts] or
/// null; chosen [used], weights [used]. `scratch` grows as needed.
void route(const RouterSpec& spec, const float* logits, const float* selection_bias,
           int32_t* chosen, float* weights, std::vector<float>& scratch);

}  // namespace pippin::nn::cpu
