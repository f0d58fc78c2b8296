#include "models/blocks/query_scale.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nn/ops/linear.h"

namespace pippin::models {

QueryScale::QueryScale(const store::ModelConfig& config)
    : beta_(config.query_scale_beta),
      positions_(std::max(config.query_scale_positions, 1)),
      offset_(config.query_scale_offset) {}

mx::array QueryScale::apply(nn::Backend& backend, const mx::array& q,
                            const nn::StepBatch& batch) const {
  if (beta_ == 0) return q;
  std::vector<float> scales;
  for (const int32_t position : batch.positions) {
    const int n = (position + offset_) / positions_;
    scales.push_back(1 + beta_ * std::log1p(static_cast<float>(n)));
  }
  return nn::scale_rows(backend, q, scales);
}

}  // namespace pippin::models
