// ReferenceBackend: weights, and blocks of keys and values.
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

class DenseKvCache final : public KvCache {
 public:
  DenseKvCache(const std::vector<KvGeometry>& layers, KvPlan plan, mx::Dtype dtype)
      : KvCache(std::move(plan)) {
    for (const KvGeometry& g : layers) {
      const int group = group_of(plan_, g);
      const int blocks = plan_.groups[static_cast<size_t>(group)].blocks;
      const mx::Shape shape{blocks * kBlockPositions, g.kv_heads, g.head_dim};
      layers_.push_back(
          std::make_unique<DenseKv>(g, group, mx::zeros(shape, dtype), mx::zeros(shape, dtype)));
    }
  }

  void copy_block(int from, int to, int group) override {
    for (const std::unique_ptr<KvLayerStore>& store : layers_) {
      if (store->group != group) continue;
      auto& layer = static_cast<DenseKv&>(*store);
      const int heads = layer.geometry.kv_heads, dim = layer.geometry.head_dim;
      const auto move = [&](mx::array& stored) {
        const mx::array source = mx::slice(stored, mx::Shape{from * kBlockPositions, 0, 0},
                                           mx::Shape{(from + 1) * kBlockPositions, heads, dim});
        stored = mx::slice_update(stored, source, mx::Shape{to * kBlockPositions, 0, 0},
                                  mx::Shape{(to + 1) * kBlockPositions, heads, dim});
      };
      move(layer.k);
      move(layer.v);
    }
  }
};

}  // namespace

Result<std::shared_ptr<PreparedWeight>> ReferenceBackend::prepare(
    std::span<const store::TensorView* const> parts, int columns, Stacking /*stacking*/) {
  std::vector<mx::array> stacked;
  for (const store::TensorView* part : parts) stacked.push_back(dense(*part, columns, dtype_));
  mx::array whole = stacked.size() == 1 ? stacked[0] : mx::concatenate(stacked, 0);
  whole.eval();
  mx::array transposed = mx::transpose(whole);
  transposed.eval();
  return std::shared_ptr<PreparedWeight>(
      std::make_shared<DenseWeight>(std::move(whole), std::move(transposed)));
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
