// Runs a model outside the engine, on one sequence: for golden logits and perplexities.
#pragma once

#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "base/result.h"
#include "models/model.h"
#include "nn/backend/backend.h"

namespace pippin::test {

class ModelDriver {
 public:
  static Result<ModelDriver> open(const store::Checkpoint& checkpoint,
                                  const nn::BackendOptions& options, int positions_max,
                                  nn::KvType kv_type = nn::KvType::kF16) {
    ASSIGN_OR_RETURN(std::unique_ptr<nn::Backend> backend, nn::make_backend(options));
    ASSIGN_OR_RETURN(std::unique_ptr<models::Model> model,
                     models::load_model(checkpoint, *backend, {}));
    KvPlan plan;
    for (const KvGroupSpec& group : model->spec().kv_groups(kv_type))
      plan.add(group, group.kind == KvKind::kState ? 2 : (positions_max + 15) / 16);
    ASSIGN_OR_RETURN(std::unique_ptr<nn::KvCache> kv,
                     backend->make_kv_cache(model->spec().layers, std::move(plan), kv_type));
    return ModelDriver(std::move(backend), std::move(model), std::move(kv));
  }

  /// Feeds tokens at positions [start, ...); returns the logits of tokens [from, end) of this call,
  /// row after row.
  std::vector<float> run(const std::vector<int32_t>& tokens, int start, int from) {
    nn::StepBatch batch;
    batch.tokens = tokens;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const int position = start + static_cast<int>(i);
      batch.positions.push_back(position);
      if (static_cast<int>(i) >= from) batch.logit_tokens.push_back(static_cast<int>(i));
    }
    for (size_t g = 0; g < tables_.size(); ++g) {
      nn::AttentionMetadata& kv = batch.kv.emplace_back();
      kv.rows.push_back({0, static_cast<int>(tokens.size()), start, tables_[g].data()});
      if (kv_->plan().groups[g].kind == KvKind::kState) continue;
      for (const int position : batch.positions)
        kv.slots.push_back(tables_[g][static_cast<size_t>(position / 16)] * 16 + position % 16);
    }
    const mlx::core::array hidden = model_->forward(batch, *kv_);
    const mlx::core::array logits = nn::host_ready(model_->logits(hidden));
    return std::vector<float>(logits.data<float>(), logits.data<float>() + logits.size());
  }

  int vocab() const { return model_->spec().vocab; }

 private:
  ModelDriver(std::unique_ptr<nn::Backend> backend, std::unique_ptr<models::Model> model,
              std::unique_ptr<nn::KvCache> kv)
      : backend_(std::move(backend)), model_(std::move(model)), kv_(std::move(kv)) {
    for (const KvGroupPlan& group : kv_->plan().groups) {
      std::vector<int32_t>& table = tables_.emplace_back(static_cast<size_t>(group.blocks));
      // Backwards, so that a kernel that ignores the table is found out.
      std::iota(table.rbegin(), table.rend(), 0);
    }
  }

  std::unique_ptr<nn::Backend> backend_;
  std::unique_ptr<models::Model> model_;
  std::unique_ptr<nn::KvCache> kv_;
  std::vector<std::vector<int32_t>> tables_;  // of each KV group
};

/// Returns -log softmax(logits)[target], in double.
inline double negative_log_likelihood(const float* logits, int vocab, int target) {
  double top = logits[0];
  for (int v = 1; v < vocab; ++v) top = std::max(top, static_cast<double>(logits[v]));
  double sum = 0;
  for (int v = 0; v < vocab; ++v) sum += std::exp(static_cast<double>(logits[v]) - top);
  return std::log(sum) + top - static_cast<double>(logits[target]);
}

}  // namespace pippin::test
