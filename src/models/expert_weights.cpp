// WeightLoader: weights of experts, from one tensor of all of them or from one of each.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "models/weights.h"
#include "store/unpack.h"

namespace pippin::models {
namespace {

using Bytes = std::vector<std::byte>;

// Which rows of an expert's tensor a part takes.
struct RowRange {
  int first, step, count;
};

// Copies rows that do not follow each other in the file.
store::TensorView gathered(const store::TensorView& from, RowRange rows, Bytes& bytes,
                           Bytes& scales) {
  store::TensorView out = from;
  out.shape[0] = rows.count;
  const auto gather = [&](std::span<const std::byte>& all, Bytes& to) {
    const size_t each = all.size() / static_cast<size_t>(from.shape[0]);
    to.resize(each * static_cast<size_t>(rows.count));
    for (int row = 0; row < rows.count; ++row)
      std::ranges::copy(all.subspan(static_cast<size_t>(rows.first + row * rows.step) * each, each),
                        to.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(row) * each));
    all = to;
  };
  gather(out.bytes, bytes);
  if (!out.mlx.scales.empty()) gather(out.mlx.scales, scales);
  return out;
}

// Copies columns of a tensor [K, N] of floats as rows.
store::TensorView turned(const store::TensorView& from, RowRange rows, Bytes& bytes) {
  const auto all_rows = static_cast<size_t>(from.shape[0]),
             columns = static_cast<size_t>(from.shape[1]);
  const auto size = static_cast<size_t>(block_bytes(from.type));
  store::TensorView out = from;
  out.shape[0] = rows.count;
  out.transposed = false;
  bytes.resize(static_cast<size_t>(rows.count) * columns * size);
  constexpr size_t kAtOnce = 16;  // columns, so that lines of both sides stay in the cache
  for (size_t begin = 0; begin < columns; begin += kAtOnce) {
    for (int row = 0; row < rows.count; ++row) {
      const auto source = static_cast<size_t>(rows.first + row * rows.step);
      for (size_t k = begin; k < std::min(columns, begin + kAtOnce); ++k)
        std::copy_n(from.bytes.data() + (k * all_rows + source) * size, size,
                    bytes.data() + (static_cast<size_t>(row) * columns + k) * size);
    }
  }
  out.bytes = bytes;
  return out;
}

}  // namespace

// What it returns lives until the next call, since rows may have to be copied.
Result<nn::ExpertTensors> WeightLoader::expert_tensors(const Part& part, int count, int columns) {
  const int rows = part.tensor_rows > 0 ? part.tensor_rows : part.rows;
  std::vector<store::TensorView> experts;
  if (has(part.name + "_exps.weight")) {
    ASSIGN_OR_RETURN(const store::TensorView* found,
                     checked(part.name + "_exps.weight", {count, rows, columns}));
    store::TensorView all = *found;
    all.shape = {count, rows, columns};
    for (int e = 0; e < count; ++e) {
      experts.push_back(all.slice(e, 1));
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
                            bytes = std::make_shared<Bytes>(),
                            scales = std::make_shared<Bytes>()](int expert) {
    const store::TensorView whole = store::unpack(experts[static_cast<size_t>(expert)]);
    const RowRange taken{part.first_row, part.row_step, part.rows};
    const store::TensorView view = whole.transposed  ? turned(whole, taken, *bytes)
                                   : taken.step != 1 ? gathered(whole, taken, *bytes, *scales)
                                                     : whole.slice(taken.first, taken.count);
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
