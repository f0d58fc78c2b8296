// ReferenceBackend: weights, and blocks of keys and values.
#include <variant>

#include "mlx/ops.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

// The file's exact values, before they are narrowed.
mx::array dense(const store::TensorView& tensor, int columns, mx::Dtype dtype) {
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  store::dequantize(tensor, values);
  const mx::array wide(values.begin(),
                       mx::Shape{static_cast<int>(tensor.elements() / columns), columns},
                       mx::float32);
  mx::array narrow = mx::astype(wide, dtype);
  narrow.eval();
  return narrow;
}

mx::array joined(const std::vector<mx::array>& parts) {
  mx::array whole = parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0);
  whole.eval();
  return whole;
}

class DenseKvCache final : public KvCache {
 public:
  DenseKvCache(const std::vector<KvGeometry>& layers, KvPlan plan, mx::Dtype dtype)
      : KvCache(std::move(plan)) {
    for (const KvGeometry& g : layers) {
      const int group = group_of(plan_, g);
      const int blocks = plan_.groups[static_cast<size_t>(group)].blocks;
      if (g.kind() == KvKind::kState) {
        layers_.push_back(std::make_unique<DenseState>(
            g, group,
            mx::zeros({blocks, g.state.conv_positions, g.state.conv_channels}, mx::float32),
            mx::zeros({blocks, g.state.heads, g.state.rows, g.state.columns}, mx::float32)));
        continue;
      }
      if (g.latent > 0) {
        layers_.push_back(std::make_unique<DenseLatent>(
            g, group, mx::zeros({blocks * kBlockPositions, g.latent}, dtype),
            mx::zeros({blocks * kBlockPositions, g.index_key}, dtype)));
        continue;
      }
      const mx::Shape shape{blocks * kBlockPositions, g.kv_heads, g.head_dim};
      layers_.push_back(
          std::make_unique<DenseKv>(g, group, mx::zeros(shape, dtype), mx::zeros(shape, dtype)));
    }
  }

  void copy_block(int from, int to, int group) override {
    for (const std::unique_ptr<KvLayerStore>& store : layers_) {
      if (store->group != group) continue;
      if (store->geometry.kind() == KvKind::kState) {
        auto& states = static_cast<DenseState&>(*store);
        move(states.conv, from, to, 1);
        move(states.matrices, from, to, 1);
      } else if (store->geometry.latent > 0) {
        auto& layer = static_cast<DenseLatent&>(*store);
        move(layer.rows, from, to, kBlockPositions);
        move(layer.index_keys, from, to, kBlockPositions);
      } else {
        auto& layer = static_cast<DenseKv&>(*store);
        move(layer.k, from, to, kBlockPositions);
        move(layer.v, from, to, kBlockPositions);
      }
    }
  }

 private:
  // Copies block `from` over block `to`, each `each` entries of the first dimension.
  static void move(mx::array& stored, int from, int to, int each) {
    if (stored.size() == 0) return;
    const auto at = [&](int block) {
      mx::Shape start(stored.ndim(), 0);
      start[0] = block * each;
      return start;
    };
    const auto end = [&](int block) {
      mx::Shape stop = stored.shape();
      stop[0] = (block + 1) * each;
      return stop;
    };
    stored = mx::slice_update(stored, mx::slice(stored, at(from), end(from)), at(to), end(to));
  }
};

}  // namespace

std::optional<AffineMatrix> ReferenceBackend::quantised(const store::TensorView& tensor,
                                                        int columns) const {
  if (form_ == WeightForm::kDense) return std::nullopt;
  return affine_matrix(tensor, columns, dtype_ == mx::bfloat16 ? mx::bfloat16 : mx::float16);
}

// Empty where an expert has no such form, or another than the first, as of mixed files.
std::vector<AffineMatrix> ReferenceBackend::quantised(const ExpertTensors& part, int count,
                                                      int columns) const {
  std::vector<AffineMatrix> matrices;
  for (int expert = 0; expert < count; ++expert) {
    std::optional<AffineMatrix> matrix = quantised(part(expert), columns);
    if (!matrix || (expert > 0 && !matrix->is_like(matrices.front()))) return {};
    matrices.push_back(*std::move(matrix));
  }
  return matrices;
}

Result<std::shared_ptr<PreparedWeight>> ReferenceBackend::prepare(
    std::span<const store::TensorView* const> parts, int columns, Stacking /*stacking*/) {
  // Neighbours of one form become one matrix.
  using Run = std::variant<std::vector<AffineMatrix>, std::vector<mx::array>>;
  std::vector<Run> runs;
  for (const store::TensorView* part : parts) {
    if (std::optional<AffineMatrix> matrix = quantised(*part, columns)) {
      auto* last = runs.empty() ? nullptr : std::get_if<std::vector<AffineMatrix>>(&runs.back());
      if (last == nullptr || !last->front().is_like(*matrix))
        last = &std::get<std::vector<AffineMatrix>>(runs.emplace_back(std::vector<AffineMatrix>()));
      last->push_back(*std::move(matrix));
    } else {
      auto* last = runs.empty() ? nullptr : std::get_if<std::vector<mx::array>>(&runs.back());
      if (last == nullptr)
        last = &std::get<std::vector<mx::array>>(runs.emplace_back(std::vector<mx::array>()));
      last->push_back(dense(*part, columns, dtype_));
    }
  }
  std::vector<std::shared_ptr<MatrixWeight>> weights;
  for (const Run& run : runs) {
    if (const auto* matrices = std::get_if<std::vector<AffineMatrix>>(&run)) {
      weights.push_back(std::make_shared<QuantisedWeight>(concatenated(*matrices)));
    } else {
      weights.push_back(
          std::make_shared<DenseWeight>(joined(std::get<std::vector<mx::array>>(run))));
    }
  }
  if (weights.size() == 1) return std::shared_ptr<PreparedWeight>(weights.front());
  return std::shared_ptr<PreparedWeight>(std::make_shared<StackedWeight>(std::move(weights)));
}

Result<std::shared_ptr<PreparedWeight>> ReferenceBackend::prepare_experts(
    std::span<const ExpertTensors> parts, int count, int columns, Stacking /*stacking*/) {
  std::vector<std::shared_ptr<ExpertMatrices>> weights;
  for (const ExpertTensors& part : parts) {
    if (std::vector<AffineMatrix> matrices = quantised(part, count, columns); !matrices.empty()) {
      weights.push_back(std::make_shared<QuantisedExperts>(stacked(matrices)));
      continue;
    }
    std::vector<mx::array> values;
    for (int expert = 0; expert < count; ++expert)
      values.push_back(dense(part(expert), columns, dtype_));
    weights.push_back(std::make_shared<DenseExperts>(mx::stack(values, 0)));
  }
  if (weights.size() == 1) return std::shared_ptr<PreparedWeight>(weights.front());
  return std::shared_ptr<PreparedWeight>(std::make_shared<StackedExperts>(std::move(weights)));
}

Result<std::unique_ptr<KvCache>> ReferenceBackend::make_kv_cache(
    const std::vector<KvGeometry>& layers, KvPlan plan, KvType type) {
  if (type != KvType::kF16) {
    return fail(Code::kUnsupported, "[nn] this backend keeps keys and values as floats only",
                "--kv-type");
  }
  return std::unique_ptr<KvCache>(std::make_unique<DenseKvCache>(layers, std::move(plan), dtype_));
}

}  // namespace pippin::nn
