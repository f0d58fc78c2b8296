// WeightLoader: weights of experts, from one tensor of all of them or from one of each.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "models/weights.h"

namespace pippin::models {
namespace {

// Copies rows that do not follow each other in the file.
store::TensorView gathered(const store::TensorView& from, int first, int step, int rows,
                           std::vector<std::byte>& bytes, std::vector<std::byte>& scales) {
  store::TensorView out = from;
  out.shape[0] = rows;
  const auto gather = [&](std::span<const std::byte>& all, std::vector<std::byte>& to) {
    const size_t each = all.size() / static_cast<size_t>(from.shape[0]);
    to.resize(each * static_cast<size_t>(rows));
    for (int row = 0; row < rows; ++row)
      std::ranges::copy(all.subspan(static_cast<size_t>(first + row * step) * each, each),
                        to.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(row) * each));
    all = to;
  };
  gather(out.bytes, bytes);
  gather(out.mlx.scales, scales);
  return out;
}

}  // namespace

// What it returns lives until the next call, since rows may have to be copied.
Result<nn::ExpertTensors> WeightLoader::expert_tensors(const Part& part, int count, int columns) {
  const int rows = part.tensor_rows > 0 ? part.tensor_rows : part.rows;
  std::vector<store::TensorView> experts;
  if (has(part.name + "_exps.weight")) {
    ASSIGN_OR_RETURN(const store::TensorView* all,
                     checked(part.name + "_exps.weight", {count, rows, columns}));
    for (int e = 0; e < count; ++e) {
      experts.push_back(all->slice(e, 1));
      experts.back().shape = {rows, columns};
    }
  } else {
    for (int e = 0; e < count; ++e) {
      ASSIGN_OR_RETURN(const store::TensorView* one,
                       checked(fmt::format("{}.{}.weight", part.name, e), {rows, columns}));
      experts.push_back(*one);
    }
  }
  return nn::ExpertTensors([this, part, experts = std::move(experts),
                            bytes = std::make_shared<std::vector<std::byte>>(),
                            scales = std::make_shared<std::vector<std::byte>>()](int expert) {
    const store::TensorView& whole = experts[static_cast<size_t>(expert)];
    const store::TensorView view =
        part.row_step == 1
            ? whole.slice(part.first_row, part.rows)
            : gathered(whole, part.first_row, part.row_step, part.rows, *bytes, *scales);
    advance(view);
    return view;
  });
}

// [count, rows], or nothing.
Result<std::vector<float>> WeightLoader::expert_biases(const std::vector<Part>& parts, int count,
                                                       int rows) {
  const auto has_bias = [&](const Part& part) { return has(part.name + "_exps.bias"); };
  const auto biased = std::ranges::count_if(parts, has_bias);
  if (biased == 0) return std::vector<float>();
  if (biased != static_cast<ptrdiff_t>(parts.size()))
    return fail(Code::kInvalidFile,
                fmt::format("[model] {}: {}_exps has a bias, but its siblings do not, or the other "
                            "way round",
                            checkpoint_.path(), parts[0].name),
                parts[0].name + "_exps.bias");
  std::vector<float> biases(static_cast<size_t>(count) * static_cast<size_t>(rows));
  int done = 0;
  for (const Part& part : parts) {
    const int all = part.tensor_rows > 0 ? part.tensor_rows : part.rows;
    ASSIGN_OR_RETURN(const std::vector<float> values,
                     floats(part.name + "_exps.bias", {count, all}));
    for (int e = 0; e < count; ++e)
      for (int row = 0; row < part.rows; ++row)
        biases[static_cast<size_t>(e * rows + done + row)] =
            values[static_cast<size_t>(e * all + part.first_row + row * part.row_step)];
    done += part.rows;
  }
  return biases;
}

Result<nn::ExpertWeight> WeightLoader::experts(const std::vector<Part>& parts, int count,
                                               int columns, nn::Stacking stacking) {
  nn::ExpertWeight weight{.experts = count, .columns = columns};
  std::vector<nn::ExpertTensors> tensors;
  for (const Part& part : parts) {
    ASSIGN_OR_RETURN(nn::ExpertTensors each, expert_tensors(part, count, columns));
    tensors.push_back(std::move(each));
    weight.rows += part.rows;
  }
  ASSIGN_OR_RETURN(std::vector<float> biases, expert_biases(parts, count, weight.rows));
  weight.bias = std::move(biases);
  Result<std::shared_ptr<nn::PreparedWeight>> prepared =
      backend_.prepare_experts(tensors, count, columns, stacking);
  if (!prepared.ok())
    return fail(prepared.error().code,
                fmt::format("[model] {}: {}_exps: {}", checkpoint_.path(), parts[0].name,
                            prepared.error().message),
                parts[0].name + "_exps");
  weight.prepared = *std::move(prepared);
  return weight;
}

}  // namespace pippin::models
