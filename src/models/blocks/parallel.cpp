#include "models/blocks/parallel.h"

#include "nn/ops/linear.h"
#include "nn/ops/norm.h"

namespace pippin::models {

mx::array ParallelBlock::mix(const mx::array& x, const nn::StepBatch& batch, nn::KvCache& kv) {
  const mx::array recurred = recurrence_->project(recurrence_->mix(x, batch, kv));
  const mx::array taken = in_factor_ == 1 ? x : nn::scale(backend_, x, in_factor_);
  mx::array attended = attention_->project(attention_->mix(taken, batch, kv));
  if (out_factor_ != 1) attended = nn::scale(backend_, attended, out_factor_);
  return nn::add(backend_, recurred, attended);
}

void ParallelBlock::add_products(ProductOrder& order) const {
  recurrence_->add_products(order);
  attention_->add_products(order);
}

}  // namespace pippin::models
